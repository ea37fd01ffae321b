"""Which language a text is in, of those that a model knows.

The model finds the language itself and does not say which one. `py3langid` tells it by the text: a table of byte
sequences, which came best of what was tried on short sentences in 25 languages, and costs 50 us for one. It is loaded
only for a model of several languages, which takes a second and 60 MB.
"""

import logging
import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

log = logging.getLogger(__name__)

Identify = Callable[[str, Sequence[str], str], str]
"""Takes a text, the languages that it may be in, and the answer if nothing can be told; see `identify`."""

MIN_WORDS = 3
"""Of fewer words no language can be told reliably: "Okay", "No", "Taxi" are words of many."""
MAX_CHARACTERS = 300
"""Characters that are looked at, which takes at most 0.3 ms; of a longer text, parts from all of it."""
PARTS = 6

_WORD = re.compile(r"\S*[^\W\d_]\S*")
_LETTER = re.compile(r"[^\W\d_]")
_OTHER_SCRIPTS = {
    "cyrillic": re.compile(r"[\u0400-\u052f]"),
    "greek": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
}
_SCRIPTS = {"el": "greek"} | dict.fromkeys(("be", "bg", "kk", "ru", "sr", "uk"), "cyrillic")
"""The scripts of those languages that are not written in Latin letters and that models of several languages know."""


def as_asked(text: str, languages: Sequence[str], otherwise: str) -> str:
    """Return the language that was asked for: an `Identify` that tells nothing."""
    return otherwise


class LanguageIdentifier:
    """Tells the languages of one model apart. Until it is loaded, and for a model of one language, there is nothing to
    tell. Any thread may use it; the same text has the same language always."""

    def __init__(self) -> None:
        self._ranking: Any = None  # py3langid's `LanguageIdentifier`

    def load(self, languages: Sequence[str]) -> None:
        """Load what tells these languages (ISO 639-1 codes) apart. A second of CPU time, in the thread that asks.

        If that fails, a warning says why, and every text counts as in the language that was asked for.
        """
        if len(languages) < 2:
            return
        try:
            self._ranking = _load_ranking(languages)
        except (ImportError, OSError) as error:
            log.warning("The language of texts is not identified, as py3langid cannot be loaded: %s", error)

    def identify(self, text: str, languages: Sequence[str], otherwise: str) -> str:
        """Return the language of a text.

        Args:
            text: the text.
            languages: codes of those that it may be in. With none there is nothing to tell, with one neither.
            otherwise: the answer if the text has too few words, unless it is written in the letters of others.
        """
        if len(languages) < 2:
            return languages[0] if languages else otherwise
        sample = _sample(text)
        if len(list(islice(_WORD.finditer(sample), MIN_WORDS))) >= MIN_WORDS:
            return self._best(sample, languages, otherwise)
        script = _script(sample)
        if script is None or script == _SCRIPTS.get(otherwise, "latin"):
            return otherwise
        return self._best(sample, [each for each in languages if _SCRIPTS.get(each, "latin") == script], otherwise)

    def _best(self, text: str, languages: Sequence[str], otherwise: str) -> str:
        if self._ranking is None:
            return otherwise
        return next((code for code, _ in self._ranking.rank(text) if code in languages), otherwise)


def _load_ranking(languages: Sequence[str]) -> Any:
    """Return py3langid's identifier of these languages, without those columns of its table that tell others."""
    from py3langid.langid import MODEL_FILE
    from py3langid.langid import LanguageIdentifier as Ranking

    whole = Ranking.from_model_file(MODEL_FILE)
    whole.set_languages([each for each in languages if each in whole.nb_classes])
    columns, priors = whole.nb_ptc.copy(), whole.nb_pc.copy()
    return Ranking(columns, priors, whole.nb_classes, whole.tk_nextmove, whole.tk_output, tk_row=whole.tk_row)


def _sample(text: str) -> str:
    """Return a text, or of a long one parts at equal distances: its beginning may be in another language."""
    if len(text) <= MAX_CHARACTERS:
        return text
    size = MAX_CHARACTERS // PARTS
    step = (len(text) - size) // (PARTS - 1)
    return " ".join(text[start : start + size] for start in range(0, PARTS * step, step))


def _script(text: str) -> str | None:
    """Return the script of a text's first letter; None if it has no letters."""
    letter = _LETTER.search(text)
    if letter is None:
        return None
    return next((name for name, letters in _OTHER_SCRIPTS.items() if letters.match(letter[0])), "latin")
