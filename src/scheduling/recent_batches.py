"""How large and how fast the batches of the last seconds were. No clock: times in seconds are given by the caller."""

from collections import deque
from typing import NamedTuple

RECENT_S = 10.0
"""For how long a batch counts after its end, in seconds."""


class EndedBatch(NamedTuple):
    """A batch that the model has run."""

    at: float
    """When it ended."""
    jobs: int
    """Clips or steps in it."""
    audio_s: float
    """Seconds of audio in it, context included."""
    took_s: float
    """Seconds that the model took for it."""


class RecentBatches:
    """Remembers the batches that ended in the last `RECENT_S` seconds, and how fast the model was when it last ran."""

    def __init__(self) -> None:
        self._ended: deque[EndedBatch] = deque()
        self._jobs = 0
        self._audio_s = self._took_s = 0.0

    def add(self, batch: EndedBatch) -> None:
        """Note that a batch has ended."""
        self._forget(batch.at)
        if not self._ended:
            self._audio_s = self._took_s = 0.0  # of the batches before a pause, which told the speed during that
        self._ended.append(batch)
        self._jobs += batch.jobs
        self._audio_s += batch.audio_s
        self._took_s += batch.took_s

    def mean_size(self, now: float) -> float:
        """Return the mean number of clips or steps in the batches; 0 if there are none."""
        self._forget(now)
        return self._jobs / len(self._ended) if self._ended else 0.0

    @property
    def audio_s_per_s(self) -> float:
        """Seconds of audio for each second that the model ran; 0 if it has not run."""
        return self._audio_s / self._took_s if self._took_s else 0.0

    def _forget(self, now: float) -> None:
        """Forget the batches that ended too long ago; of the last of them, the speed is kept."""
        while self._ended and self._ended[0].at <= now - RECENT_S:
            oldest = self._ended.popleft()
            self._jobs -= oldest.jobs
            if self._ended:
                self._audio_s -= oldest.audio_s
                self._took_s -= oldest.took_s
