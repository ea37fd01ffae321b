"""The languages of Parakeet models, and the names that clients use for them."""

import re
from collections.abc import Sequence

from src.errors import UnsupportedLanguage
from src.text.unset import none_if_unset

LANGUAGES = {
    "bg": "bulgarian",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "fi": "finnish",
    "fr": "french",
    "hr": "croatian",
    "hu": "hungarian",
    "it": "italian",
    "lt": "lithuanian",
    "lv": "latvian",
    "mt": "maltese",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sk": "slovak",
    "sl": "slovenian",
    "sv": "swedish",
    "uk": "ukrainian",
}
"""ISO 639-1 code and English name of each language that any Parakeet model knows."""
LONG_CODES = {
    "bg": ("bul",),
    "cs": ("ces", "cze"),
    "da": ("dan",),
    "de": ("deu", "ger"),
    "el": ("ell", "gre"),
    "en": ("eng",),
    "es": ("spa",),
    "et": ("est", "ekk"),
    "fi": ("fin",),
    "fr": ("fra", "fre"),
    "hr": ("hrv", "scr"),
    "hu": ("hun",),
    "it": ("ita",),
    "lt": ("lit",),
    "lv": ("lav", "lvs"),
    "mt": ("mlt",),
    "nl": ("nld", "dut"),
    "pl": ("pol",),
    "pt": ("por",),
    "ro": ("ron", "rum"),
    "ru": ("rus",),
    "sk": ("slk", "slo"),
    "sl": ("slv",),
    "sv": ("swe",),
    "uk": ("ukr",),
}
"""The ISO 639-2 and 639-3 codes of these languages, the terminological one first."""
ANY_LANGUAGE = frozenset(
    {"auto", "automatic", "autodetect", "detect", "any", "default", "multi", "multilingual", "unknown", "mul", "und"}
)
"""Words that clients send if their user did not choose a language. In ISO 639-2, `mul` means several languages, and
`und` an undetermined one."""


def language_code(requested: str | None, known: Sequence[str]) -> str:
    """Return the ISO 639-1 code of a requested language, written as `en`, `eng`, `en-US`, `en_US.UTF-8` or `English`.

    Args:
        requested: the language. If it is unset (`none_if_unset`) or in `ANY_LANGUAGE`, it means the first of `known`.
        known: ISO 639-1 codes of the languages that the model knows.

    Raises:
        UnsupportedLanguage: the model does not know the language.
    """
    if none_if_unset(requested) is None:
        return known[0]
    assert requested is not None
    name = requested.strip().lower()
    tag = re.split(r"[-_.@ ]", name, maxsplit=1)[0]
    if tag in ANY_LANGUAGE:
        return known[0]
    for language in known:
        if tag in (language, *LONG_CODES.get(language, ())) or name == LANGUAGES.get(language):
            return language
    raise UnsupportedLanguage(
        f"The model does not know the language {requested[:40]!r}; it knows {', '.join(known)}.", param="language"
    )
