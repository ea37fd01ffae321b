"""An index of queue entries by length, which finds the first entry of a range of lengths.

It is a segment tree: each leaf has the entries of one range of lengths, and each node has the first entry below it.
"""

import math
from typing import Any, Generic, Protocol, TypeVar

from src.scheduling.sorted_deque import Entry, SortedDeque

LEAF_SAMPLES = 1280
"""Lengths in one leaf: 80 ms at 16 kHz. A search looks at single entries only in the two leaves at its ends."""


class HasLength(Protocol):
    """An item that has a length."""

    @property
    def length(self) -> int:
        """In samples."""


T = TypeVar("T", bound=HasLength)

_NONE: Any = (math.inf, -1, None)


class LengthIndex(Generic[T]):
    """Entries by the length of their item.

    The cost of adding, finding or removing an entry grows with the logarithm of the longest length, not with the
    number of entries.
    """

    def __init__(self) -> None:
        self._leaves: dict[int, SortedDeque[T]] = {}
        """The leaves that are not empty, by number."""
        self._size = 1
        """Number of leaves that the tree has room for; a power of two."""
        self._firsts: list[Entry[T]] = [_NONE, _NONE]
        """The first entry below each node. Node n is the parent of 2 n and 2 n + 1, the second half are leaves."""

    def add(self, entry: Entry[T]) -> None:
        """Add an entry."""
        leaf = entry[2].length // LEAF_SAMPLES
        while leaf >= self._size:
            self._double()
        self._leaves.setdefault(leaf, SortedDeque()).add(entry)
        self._update(leaf)

    def remove(self, entry: Entry[T]) -> None:
        """Remove an entry, which must be there."""
        leaf = entry[2].length // LEAF_SAMPLES
        self._leaves[leaf].remove(entry)
        if not self._leaves[leaf]:
            del self._leaves[leaf]
        self._update(leaf)

    def first(self, shortest: float = 0, longest: float = math.inf) -> Entry[T] | None:
        """Return the first entry whose length is from `shortest` to `longest` samples; None if there is none."""
        low, high = (self._leaf(length) for length in (shortest, longest))
        found = self._first_in_leaves(low + 1, high)
        for leaf in {low, high}:
            if self._firsts[self._size + leaf] < found:
                matching = (each for each in self._leaves[leaf].entries if shortest <= each[2].length <= longest)
                found = min(found, next(matching, _NONE))
        return None if found is _NONE else found

    def _leaf(self, length: float) -> int:
        """Return the number of the leaf for a length in samples; the last leaf for lengths beyond the tree."""
        return int(min(length / LEAF_SAMPLES, self._size - 1))

    def _first_in_leaves(self, start: int, end: int) -> Entry[T]:
        """Return the first entry of the leaves from `start` to before `end`."""
        found: Entry[T] = _NONE
        start, end = start + self._size, end + self._size
        while start < end:
            if start & 1:  # a right child: its parent covers more than the range
                found = min(found, self._firsts[start])
                start += 1
            if end & 1:
                end -= 1
                found = min(found, self._firsts[end])
            start, end = start // 2, end // 2
        return found

    def _update(self, leaf: int) -> None:
        """Update the nodes above a leaf."""
        node = self._size + leaf
        at_leaf = self._leaves.get(leaf)
        first: Entry[T] = (at_leaf and at_leaf.first) or _NONE
        while node and self._firsts[node] is not first:
            self._firsts[node] = first
            first = min(first, self._firsts[node ^ 1])
            node //= 2

    def _double(self) -> None:
        """Double the number of leaves."""
        self._size *= 2
        self._firsts = [_NONE] * (2 * self._size)
        for leaf in self._leaves:
            self._update(leaf)
