"""Which refused requests have a line each in the logs, and which are only counted.

A client that needs no key to be refused could fill the disk with thousands of lines a second. So of each kind only some
have lines of their own, and of all kinds together not many more; the rest of a kind share one line.

No clock: times in seconds are given by the caller.
"""

import math
from collections import Counter
from typing import NamedTuple

BURST = 500
"""Refusals of one kind that have a line each although they come at once. A client that has nothing to hide and is told
to come back later does not reach it."""
LINES_PER_S = 5.0
"""Lines of one kind in a second, in the long run."""
TOTAL_BURST = 2000
"""The same as `BURST`, for all kinds together: a client that finds many ways to be refused has no more lines."""
TOTAL_LINES_PER_S = 20.0
"""Lines of all kinds in a second, in the long run. A flood of one kind leaves most of them to the others."""


class Refusal(NamedTuple):
    """A kind of refused request. There are only so many: none of these is text that a client chooses."""

    model: str
    route: str
    label: str
    """Its name in the access log, such as `POST /v1/models`."""
    status: int
    code: str | None
    """The error's code."""


class _Lines:
    """How many lines may be written: a bucket of tokens, which is full at first."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at = -math.inf

    def take(self, now: float) -> bool:
        self._left = min(self._left + self._per_s * max(0.0, now - self._at), self._burst)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RefusalCounter:
    """Counts the refused requests that have no line of their own. For use by one thread."""

    def __init__(self) -> None:
        self._lines: dict[Refusal, _Lines] = {}
        self._all_lines = _Lines(TOTAL_BURST, TOTAL_LINES_PER_S)
        self._counts: Counter[Refusal] = Counter()

    def has_line(self, refusal: Refusal, now: float) -> bool:
        """Return whether a refused request has a line of its own. If not, it is counted."""
        lines = self._lines.setdefault(refusal, _Lines(BURST, LINES_PER_S))
        if lines.take(now) and self._all_lines.take(now):
            return True
        self._counts[refusal] += 1
        return False

    def take_counts(self) -> dict[Refusal, int]:
        """Return how many of each kind were counted since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts
