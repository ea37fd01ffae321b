"""The languages of Parakeet models, and how clients name them."""

from collections.abc import Sequence

from src.errors import UnsupportedLanguage

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


def language_code(asked: str | None, known: Sequence[str]) -> str:
    """Return the code of the language asked for as `en`, `en-US` or `English`; the first of `known` where none is.

    `known` has the ISO 639-1 codes of the languages that the model knows.

    Raises:
        UnsupportedLanguage: it is none of them.
    """
    if asked is None:
        return known[0]
    name = asked.strip().lower()
    code = name.replace("_", "-").partition("-")[0]
    for language in known:
        if code == language or name == LANGUAGES.get(language):
            return language
    raise UnsupportedLanguage(
        f"The model does not know the language {asked[:40]!r}; it knows {', '.join(known)}.", param="language"
    )
