"""How fast the bodies of requests arrive, and which upload is evicted when there is no room for all.

No clock: times in seconds are given by the caller. An upload counts for what it brings now, not for how long it has
been here. One that has stalled is evicted for a new one within a second, and one that has sent only its head at once,
no matter how many uploads start and how often.
"""

import math
from collections.abc import Iterable
from itertools import count

from src.scheduling.sorted_deque import Entry, SortedDeque

RATE_WINDOW_S = 1.0
"""Time constant of the rate: bytes that came this long ago count for about a third."""
NEW_UPLOAD_BYTES_PER_S = 16_000.0
"""Rate of a new upload: that of PCM16 at 8 kHz in real time. A faster upload is not evicted for a new one."""
MAX_BYTES_PER_S = 2 * NEW_UPLOAD_BYTES_PER_S
"""Highest rate that counts, so that an upload that came fast and then stalled is evicted after 0.7 s."""


class UploadProgress:
    """The progress of one upload.

    Args:
        now: when its request came.
    """

    def __init__(self, now: float) -> None:
        self.is_complete = False
        """Whether all of it has come. Then it is not evicted any more."""
        self._rate = NEW_UPLOAD_BYTES_PER_S
        self._at = now

    def add(self, size_bytes: int, now: float) -> None:
        """Note that `size_bytes` more have come."""
        self._rate = min(self.rate(now) + size_bytes / RATE_WINDOW_S, MAX_BYTES_PER_S)
        self._at = now

    def rate(self, now: float) -> float:
        """Return the recent rate in bytes per second."""
        return self._rate * math.exp((self._at - now) / RATE_WINDOW_S)

    @property
    def spent_at(self) -> float:
        """When its rate will have fallen to one byte per second, if no more comes.

        Of two uploads, the slower one at any time is the one with the earlier `spent_at`. It only ever grows.
        """
        return self._at + RATE_WINDOW_S * math.log(self._rate) if self._rate > 0 else -math.inf


class UploadsInProgress:
    """Uploads in progress, whose slowest is found without a look at the others.

    They are sorted by `spent_at`, as it was when each was last looked at.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._order: SortedDeque[UploadProgress] = SortedDeque()
        self._entries: dict[UploadProgress, Entry[UploadProgress]] = {}

    def add(self, upload: UploadProgress) -> None:
        """Add an upload."""
        self._entries[upload] = entry = (upload.spent_at, next(self._numbers), upload)
        self._order.add(entry)

    def discard(self, upload: UploadProgress) -> None:
        """Remove an upload, if it is there."""
        if entry := self._entries.pop(upload, None):
            self._order.remove(entry)

    def evictable(self, now: float) -> UploadProgress | None:
        """Return the slowest upload if it is no faster than a new one, else None."""
        while first := self._order.first:
            spent_at, _, upload = first
            if not upload.is_complete and upload.spent_at <= spent_at:
                return upload if upload.rate(now) <= NEW_UPLOAD_BYTES_PER_S else None
            self.discard(upload)
            if not upload.is_complete:
                self.add(upload)
        return None


def evictable(uploads: Iterable[UploadProgress], now: float) -> UploadProgress | None:
    """Return the slowest upload that is no faster than a new one; None if there is none."""
    slow = [each for each in uploads if not each.is_complete and each.rate(now) <= NEW_UPLOAD_BYTES_PER_S]
    return min(slow, key=lambda each: each.rate(now), default=None)
