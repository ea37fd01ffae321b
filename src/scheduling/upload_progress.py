"""How a request's body comes, and whose gives way where there is no room for all. No clock: times in seconds are given.

An upload counts for what it brings now, not for how long it has been here: one that has stalled gives way to a new one
within a second, one that has sent nothing but its head at once, however many begin anew however often.
"""

import math
from collections.abc import Iterable
from itertools import count

from src.scheduling.sorted_deque import Entry, SortedDeque

RATE_WINDOW_S = 1.0
"""Seconds over which a pace is taken: what came before them counts for about a third, and so on."""
NEW_UPLOAD_BYTES_PER_S = 16_000.0
"""The pace that a request begins with, and that of PCM16 at 8 kHz in real time; what comes faster gives way to nobody
new."""
MAX_BYTES_PER_S = 2 * NEW_UPLOAD_BYTES_PER_S
"""What counts of a pace, so that what came fast and then stalled gives way after 0.7 s."""


class UploadProgress:
    """One body on its way.

    Args:
        now: when its request came.
    """

    def __init__(self, now: float) -> None:
        self.is_complete = False
        """Whether all of it has come: it gives way to nobody any more."""
        self._rate = NEW_UPLOAD_BYTES_PER_S
        self._at = now

    def add(self, size_bytes: int, now: float) -> None:
        """Note that so much more has come."""
        self._rate = min(self.rate(now) + size_bytes / RATE_WINDOW_S, MAX_BYTES_PER_S)
        self._at = now

    def rate(self, now: float) -> float:
        """Return about how many bytes have come in a second lately."""
        return self._rate * math.exp((self._at - now) / RATE_WINDOW_S)

    @property
    def spent_at(self) -> float:
        """When its pace will have come down to a byte in a second, if no more comes.

        Of two, the slower is at any time the one whose pace is spent earlier. What comes only ever puts it off.
        """
        return self._at + RATE_WINDOW_S * math.log(self._rate) if self._rate > 0 else -math.inf


class UploadsInProgress:
    """Bodies on their way, the slowest of which is found without a look at the others.

    Each has its place by when its pace would be spent, as that was known when it was last looked at.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._order: SortedDeque[UploadProgress] = SortedDeque()
        self._entries: dict[UploadProgress, Entry[UploadProgress]] = {}

    def add(self, upload: UploadProgress) -> None:
        """Take in a body that is on its way."""
        self._entries[upload] = entry = (upload.spent_at, next(self._numbers), upload)
        self._order.add(entry)

    def discard(self, upload: UploadProgress) -> None:
        """Take out a body, if it is still there."""
        if entry := self._entries.pop(upload, None):
            self._order.remove(entry)

    def evictable(self, now: float) -> UploadProgress | None:
        """Return the slowest, if that is no faster than a new one."""
        while first := self._order.first:
            spent_at, _, upload = first
            if not upload.is_complete and upload.spent_at <= spent_at:
                return upload if upload.rate(now) <= NEW_UPLOAD_BYTES_PER_S else None
            self.discard(upload)
            if not upload.is_complete:
                self.add(upload)
        return None


def evictable(uploads: Iterable[UploadProgress], now: float) -> UploadProgress | None:
    """Return the slowest of those that are no faster than a new one; None where there is none."""
    slow = [each for each in uploads if not each.is_complete and each.rate(now) <= NEW_UPLOAD_BYTES_PER_S]
    return min(slow, key=lambda each: each.rate(now), default=None)
