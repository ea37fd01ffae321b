"""Things in the order of a number that each has."""

import bisect
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

Entry = tuple[float, int, T]
"""A thing with its key, and a number of its own before it: where keys are equal, the lower number is first."""


class SortedDeque(Generic[T]):
    """Entries, the least key first. It is made for such as come almost in order, and leave almost in order."""

    def __init__(self) -> None:
        self._entries: deque[Entry[T]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> Entry[T] | None:
        """The entry with the least key."""
        return self._entries[0] if self._entries else None

    @property
    def entries(self) -> Sequence[Entry[T]]:
        """All entries in order."""
        return self._entries

    def add(self, entry: Entry[T]) -> None:
        """Put an entry in its place."""
        if not self._entries or self._entries[-1] < entry:
            self._entries.append(entry)
        else:
            bisect.insort(self._entries, entry)

    def remove(self, entry: Entry[T]) -> None:
        """Take out an entry that is there."""
        if self._entries[0] == entry:
            self._entries.popleft()
        else:
            del self._entries[bisect.bisect_left(self._entries, entry)]
