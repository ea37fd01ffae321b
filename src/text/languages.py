"""The languages of Parakeet models, and how clients name them."""

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
"""English names, by ISO 639-1 code, of the languages that any Parakeet model knows."""
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
"""Their codes in ISO 639-2 and 639-3, the terminological one first."""
ANY = frozenset(
    {"auto", "automatic", "autodetect", "detect", "any", "default", "multi", "multilingual", "unknown", "mul", "und"}
)
"""First words of what clients send for a language that their user did not choose; ISO 639-2's `mul` is several
languages and `und` an undetermined one."""


def language_code(asked: str | None, known: Sequence[str]) -> str:
    """Return the code of the language asked for as `en`, `eng`, `en-US`, `en_US.UTF-8` or `English`.

    It is the first of `known` where none is asked for, also in the words of `none_if_unset` and `ANY`. `known` has the
    ISO 639-1 codes of the languages that the model knows.

    Raises:
        UnsupportedLanguage: it is none of them.
    """
    if none_if_unset(asked) is None:
        return known[0]
    assert asked is not None
    name = asked.strip().lower()
    tag = re.split(r"[-_.@ ]", name, maxsplit=1)[0]
    if tag in ANY:
        return known[0]
    for language in known:
        if tag in (language, *LONG_CODES.get(language, ())) or name == LANGUAGES.get(language):
            return language
    raise UnsupportedLanguage(
        f"The model does not know the language {asked[:40]!r}; it knows {', '.join(known)}.", param="language"
    )
