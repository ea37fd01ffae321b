"""How a request's body comes, and whose gives way where there is no room for all. No clock: times in seconds are given.

An upload counts for what it brings now, not for how long it has been here: one that has stalled gives way to a new one
within a second, one that has sent nothing but its head at once, however many begin anew however often.
"""

import math
from collections.abc import Iterable
from itertools import count

from src.scheduling.order import Entry, Ordered

PACE_S = 1.0
"""Seconds over which a pace is taken: what came before them counts for about a third, and so on."""
FRESH_BYTES_PER_S = 16_000.0
"""The pace that a request begins with, and that of PCM16 at 8 kHz in real time; what comes faster gives way to nobody
new."""
TOP_BYTES_PER_S = 2 * FRESH_BYTES_PER_S
"""What counts of a pace, so that what came fast and then stalled gives way after 0.7 s."""


class Arrival:
    """One body on its way.

    Args:
        now: when its request came.
    """

    def __init__(self, now: float) -> None:
        self.is_here = False
        """Whether all of it has come: it gives way to nobody any more."""
        self._pace = FRESH_BYTES_PER_S
        self._at = now

    def add(self, size_bytes: int, now: float) -> None:
        """Note that so much more has come."""
        self._pace = min(self.pace(now) + size_bytes / PACE_S, TOP_BYTES_PER_S)
        self._at = now

    def pace(self, now: float) -> float:
        """Return about how many bytes have come in a second lately."""
        return self._pace * math.exp((self._at - now) / PACE_S)

    @property
    def spent_at(self) -> float:
        """When its pace will have come down to a byte in a second, if no more comes.

        Of two, the slower is at any time the one whose pace is spent earlier. What comes only ever puts it off.
        """
        return self._at + PACE_S * math.log(self._pace) if self._pace > 0 else -math.inf


class Arrivals:
    """Bodies on their way, the slowest of which is found without a look at the others.

    Each has its place by when its pace would be spent, as that was known when it was last looked at.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._order: Ordered[Arrival] = Ordered()
        self._entries: dict[Arrival, Entry[Arrival]] = {}

    def add(self, arrival: Arrival) -> None:
        """Take in a body that is on its way."""
        self._entries[arrival] = entry = (arrival.spent_at, next(self._numbers), arrival)
        self._order.add(entry)

    def discard(self, arrival: Arrival) -> None:
        """Take out a body, if it is still there."""
        if entry := self._entries.pop(arrival, None):
            self._order.remove(entry)

    def gives_way(self, now: float) -> Arrival | None:
        """Return the slowest, if that is no faster than a new one."""
        while first := self._order.first:
            spent_at, _, arrival = first
            if not arrival.is_here and arrival.spent_at <= spent_at:
                return arrival if arrival.pace(now) <= FRESH_BYTES_PER_S else None
            self.discard(arrival)
            if not arrival.is_here:
                self.add(arrival)
        return None


def gives_way(arrivals: Iterable[Arrival], now: float) -> Arrival | None:
    """Return the slowest of those that are no faster than a new one; None where there is none."""
    slow = [each for each in arrivals if not each.is_here and each.pace(now) <= FRESH_BYTES_PER_S]
    return min(slow, key=lambda each: each.pace(now), default=None)
