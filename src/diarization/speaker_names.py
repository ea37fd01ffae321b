"""The names of speakers: those that are known, and letters for the others."""

from collections.abc import Collection, Iterator
from itertools import count

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class SpeakerNames:
    """Names speakers in the order in which they are first asked for.

    Args:
        known: the names of the first speakers, which are known.
    """

    def __init__(self, known: Collection[str]) -> None:
        self._names = dict(enumerate(known))
        self._free = _letters(known)

    def name_of(self, speaker: int) -> str:
        """Return the name of a speaker, given a number: A, B, ..., Z, AA, AB, ... if it is not known."""
        if speaker not in self._names:
            self._names[speaker] = next(self._free)
        return self._names[speaker]


def _letters(taken: Collection[str]) -> Iterator[str]:
    """Yield A, B, ..., Z, AA, AB, ... without the names that are taken."""
    for number in count():
        name = _letter(number)
        if name not in taken:
            yield name


def _letter(number: int) -> str:
    rest, last = divmod(number, len(LETTERS))
    return (_letter(rest - 1) if rest else "") + LETTERS[last]
