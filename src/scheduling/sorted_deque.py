"""A sorted sequence for items that come and leave almost in order."""

import bisect
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

Entry = tuple[float, int, T]
"""A key, a number that is unique, and the item. Of equal keys, the lower number comes first."""


class SortedDeque(Generic[T]):
    """Entries sorted by key. Fast for those that are added near the end and removed near the start."""

    def __init__(self) -> None:
        self._entries: deque[Entry[T]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> Entry[T] | None:
        """The entry with the least key; None if there is none."""
        return self._entries[0] if self._entries else None

    @property
    def entries(self) -> Sequence[Entry[T]]:
        """All entries in order."""
        return self._entries

    def add(self, entry: Entry[T]) -> None:
        """Insert an entry."""
        if not self._entries or self._entries[-1] < entry:
            self._entries.append(entry)
        else:
            bisect.insort(self._entries, entry)

    def remove(self, entry: Entry[T]) -> None:
        """Remove an entry, which must be there."""
        if self._entries[0] == entry:
            self._entries.popleft()
        else:
            del self._entries[bisect.bisect_left(self._entries, entry)]
