"""Clips by their length, so that the first in order among those of like length is found without a look at the others.

A segment tree: each leaf has the clips of one range of lengths, and each node knows the first of those below it.
"""

import math
from typing import Any, Generic, Protocol, TypeVar

from src.scheduling.sorted_deque import Entry, SortedDeque

LEAF_SAMPLES = 1280
"""Lengths of one leaf, 80 ms at 16 kHz. Only in the leaves at both ends of a range are clips looked at one by one."""


class HasLength(Protocol):
    """What can be sorted by length."""

    @property
    def length(self) -> int:
        """In samples."""


T = TypeVar("T", bound=HasLength)

_NONE: Any = (math.inf, -1, None)


class LengthIndex(Generic[T]):
    """Entries by the length of their thing.

    What it costs to add, find or remove one does not grow with the number of entries, only with the logarithm of the
    longest length.
    """

    def __init__(self) -> None:
        self._leaves: dict[int, SortedDeque[T]] = {}
        """Those that are not empty, by number."""
        self._size = 1
        """Numbers of leaves that there is room for, a power of two."""
        self._firsts: list[Entry[T]] = [_NONE, _NONE]
        """The first entry below each node: node n is above 2 n and 2 n + 1, the last half are leaves, 0 is not used."""

    def add(self, entry: Entry[T]) -> None:
        """Take in an entry."""
        leaf = entry[2].length // LEAF_SAMPLES
        while leaf >= self._size:
            self._double()
        self._leaves.setdefault(leaf, SortedDeque()).add(entry)
        self._settle(leaf)

    def remove(self, entry: Entry[T]) -> None:
        """Take out an entry that is there."""
        leaf = entry[2].length // LEAF_SAMPLES
        self._leaves[leaf].remove(entry)
        if not self._leaves[leaf]:
            del self._leaves[leaf]
        self._settle(leaf)

    def first(self, shortest: float = 0, longest: float = math.inf) -> Entry[T] | None:
        """Return the first in order of those that have `shortest` to `longest` samples, None where there is none."""
        low, high = (self._leaf(length) for length in (shortest, longest))
        found = self._first_of_leaves(low + 1, high)
        for leaf in {low, high}:
            if self._firsts[self._size + leaf] < found:
                fitting = (each for each in self._leaves[leaf].entries if shortest <= each[2].length <= longest)
                found = min(found, next(fitting, _NONE))
        return None if found is _NONE else found

    def _leaf(self, length: float) -> int:
        """Return the number of the leaf that lengths of so many samples are in, the last one for all beyond."""
        return int(min(length / LEAF_SAMPLES, self._size - 1))

    def _first_of_leaves(self, start: int, end: int) -> Entry[T]:
        """Return the first in order of the leaves from `start` to before `end`, by whole branches."""
        found: Entry[T] = _NONE
        start, end = start + self._size, end + self._size
        while start < end:
            if start & 1:  # a right child: its parent has more than is wanted
                found = min(found, self._firsts[start])
                start += 1
            if end & 1:
                end -= 1
                found = min(found, self._firsts[end])
            start, end = start // 2, end // 2
        return found

    def _settle(self, leaf: int) -> None:
        """Bring the nodes above a leaf up to date."""
        node = self._size + leaf
        at_leaf = self._leaves.get(leaf)
        first: Entry[T] = (at_leaf and at_leaf.first) or _NONE
        while node and self._firsts[node] is not first:
            self._firsts[node] = first
            first = min(first, self._firsts[node ^ 1])
            node //= 2

    def _double(self) -> None:
        """Make room for lengths up to twice the longest."""
        self._size *= 2
        self._firsts = [_NONE] * (2 * self._size)
        for leaf in self._leaves:
            self._settle(leaf)
