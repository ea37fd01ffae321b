"""How a request's body comes, and whose gives way where there is no room for all. No clock: times in seconds are given.

An upload counts for what it brings now, not for how long it has been here: one that has stalled gives way to a new one
within a second, one that has sent nothing but its head at once, however many begin anew however often.
"""

import math
from collections.abc import Iterable

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


def gives_way(arrivals: Iterable[Arrival], now: float) -> Arrival | None:
    """Return the slowest of those that are no faster than a new one; None where there is none."""
    slow = [each for each in arrivals if not each.is_here and each.pace(now) <= FRESH_BYTES_PER_S]
    return min(slow, key=lambda each: each.pace(now), default=None)
