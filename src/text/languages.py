"""The languages of speech-to-text models, and the names that clients use for them."""

import re
from collections.abc import Sequence

from src.errors import UnsupportedLanguage
from src.text.unset import none_if_unset

LANGUAGES = {
    "ar": "arabic",
    "be": "belarusian",
    "bg": "bulgarian",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "he": "hebrew",
    "hi": "hindi",
    "hr": "croatian",
    "hu": "hungarian",
    "hy": "armenian",
    "it": "italian",
    "ja": "japanese",
    "ka": "georgian",
    "kk": "kazakh",
    "ko": "korean",
    "lt": "lithuanian",
    "lv": "latvian",
    "mt": "maltese",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sk": "slovak",
    "sl": "slovenian",
    "sr": "serbian",
    "sv": "swedish",
    "th": "thai",
    "tr": "turkish",
    "uk": "ukrainian",
    "uz": "uzbek",
    "vi": "vietnamese",
    "zh": "chinese",
}
"""ISO 639-1 code and English name of each language that NeMo's transducers are published for."""
LONG_CODES = {
    "ar": ("ara",),
    "be": ("bel",),
    "bg": ("bul",),
    "ca": ("cat",),
    "cs": ("ces", "cze"),
    "da": ("dan",),
    "de": ("deu", "ger"),
    "el": ("ell", "gre"),
    "en": ("eng",),
    "es": ("spa",),
    "et": ("est", "ekk"),
    "fa": ("fas", "per", "pes"),
    "fi": ("fin",),
    "fr": ("fra", "fre"),
    "he": ("heb",),
    "hi": ("hin",),
    "hr": ("hrv", "scr"),
    "hu": ("hun",),
    "hy": ("hye", "arm"),
    "it": ("ita",),
    "ja": ("jpn",),
    "ka": ("kat", "geo"),
    "kk": ("kaz",),
    "ko": ("kor",),
    "lt": ("lit",),
    "lv": ("lav", "lvs"),
    "mt": ("mlt",),
    "nl": ("nld", "dut"),
    "no": ("nor", "nob"),
    "pl": ("pol",),
    "pt": ("por",),
    "ro": ("ron", "rum"),
    "ru": ("rus",),
    "sk": ("slk", "slo"),
    "sl": ("slv",),
    "sr": ("srp", "scc"),
    "sv": ("swe",),
    "th": ("tha",),
    "tr": ("tur",),
    "uk": ("ukr",),
    "uz": ("uzb", "uzn"),
    "vi": ("vie",),
    "zh": ("zho", "chi", "cmn"),
}
"""The ISO 639-2 and 639-3 codes of these languages, the terminological one first."""
ANY_LANGUAGE = frozenset(
    {"auto", "automatic", "autodetect", "detect", "any", "default", "multi", "multilingual", "unknown", "mul", "und"}
)
"""Words that clients send if their user did not choose a language. In ISO 639-2, `mul` means several languages, and
`und` an undetermined one."""


def language_name(code: str) -> str:
    """Return the English name of a language in lower case, as OpenAI's API has it; a code without a name as it is."""
    return LANGUAGES.get(code, code)


def language_code(requested: str | None, known: Sequence[str]) -> str:
    """Return the ISO 639-1 code of a requested language.

    It may be written as `en`, `eng`, `en-US`, `en_US.UTF-8`, `English` or `English (US)`.

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
        if tag in (language, *LONG_CODES.get(language, ()), language_name(language)):
            return language
    raise UnsupportedLanguage(
        f"The model does not know the language {requested[:40]!r}; it knows {', '.join(known)}.", param="language"
    )
