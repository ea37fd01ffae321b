"""The languages of speech-to-text models, and the names that clients use for them."""

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import islice

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
MAX_LANGUAGES = 100
"""Only the first languages of a list are read: nobody names more, and reading takes time."""


def language_name(code: str) -> str:
    """Return the English name of a language in lower case, as OpenAI's API has it; a code without a name as it is."""
    return LANGUAGES.get(code, code)


def none_if_any(requested: str | None) -> str | None:
    """Return a requested language, or None if it is unset (`none_if_unset`) or in `ANY_LANGUAGE`."""
    language = none_if_unset(requested)
    return None if language is None or _tag(language) in ANY_LANGUAGE else language


def _tag(name: str) -> str:
    """Return the part of a language's name before its region."""
    return re.split(r"[-_.@ ]", name.strip().lower(), maxsplit=1)[0]


def possible_languages(requested: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of those requested languages that the model knows; all that it knows if that leaves none.

    It never raises, as a list of languages is only a hint. Forms and `known` are those of `language_code`.
    """
    codes: dict[str, None] = {}
    for each in islice(requested, MAX_LANGUAGES):
        if none_if_any(each) is None:
            return tuple(known)
        with suppress(UnsupportedLanguage):
            codes[language_code(each, known)] = None
    return tuple(codes) or tuple(known)


def language_code(requested: str | None, known: Collection[str]) -> str:
    """Return the ISO 639-1 code of a requested language.

    It may be written as `en`, `eng`, `en-US`, `en_US.UTF-8`, `English` or `English (US)`.

    Args:
        requested: the language. If it is unset (`none_if_unset`) or in `ANY_LANGUAGE`, it means the first of `known`.
        known: ISO 639-1 codes of the languages that the model knows.

    Raises:
        UnsupportedLanguage: the model does not know the language.
    """
    named = none_if_any(requested)
    if named is None:
        return next(iter(known))
    tag = _tag(named)
    for language in known:
        if tag in (language, *LONG_CODES.get(language, ()), language_name(language)):
            return language
    raise UnsupportedLanguage(
        f"The model does not know the language {named[:40]!r}; it knows {', '.join(known)}.", param="language"
    )
