"""Which connections are closed when there are too many."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol


class EvictionRank(IntEnum):
    """The order in which connections are evicted, the first first."""

    CLOSING = 0
    """It is being closed."""
    IDLE = 1
    """It has no request."""
    WAITING = 2
    """The server waits for its client: for the rest of a request, or to read its answer."""


class Evictable(Protocol):
    """A connection that can be closed at any time."""

    is_evicted: bool
    """Whether it has been closed to make room."""
    waiting_since: float
    """Since when the server waits for its client, in seconds of the event loop's clock."""

    @property
    def eviction_rank(self) -> EvictionRank | None:
        """Its rank; None if it must not be evicted."""

    def evict(self) -> None:
        """Close it at once."""


def make_room(connections: Iterable[Evictable], max_connections: int, newest: Evictable) -> None:
    """Evict connections down to `max_connections`, those of one rank that have waited longest first.

    It evicts 1 % more than it must, and up to 10 % more of those without a request in progress, so that there is room
    for the next connections too: a look at thousands of connections takes milliseconds. If no other connection may be
    evicted, the newest is.
    """
    living = [each for each in connections if not each.is_evicted]
    excess = len(living) - max_connections
    if excess <= 0:
        return
    ranked = [(rank, each.waiting_since, each) for each in living if (rank := each.eviction_rank) is not None]
    ranked = sorted((each for each in ranked if each[2] is not newest), key=lambda each: each[:2])
    if not ranked:
        newest.evict()
    for number, (rank, _, each) in enumerate(ranked[: excess + max_connections // 10]):
        if number < excess + max_connections // 100 or rank is not EvictionRank.WAITING:
            each.evict()
