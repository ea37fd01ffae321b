"""The audio of a session that no item has taken yet, addressed by the session's clock."""

import numpy as np

from src.audio.samples import Samples

MIN_SAMPLES = 1 << 15  # 2 s, 128 kB: what a session with little audio costs
GROWTH = 1.25
"""How much larger an array is made than what it shall hold."""
MAX_SLACK = 1.5
"""How much larger it is left than what it holds."""


class AudioBuffer:
    """16 kHz float32 samples from `start` to `end`, both in samples since the session began.

    Appending copies each sample a bounded number of times, however small the pieces are.
    """

    def __init__(self) -> None:
        self._samples = np.empty(MIN_SAMPLES, np.float32)
        self._first = 0  # where in the array the sample `start` is
        self.start = 0
        self.end = 0

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, samples: Samples) -> None:
        """Add samples (samples,) at the end."""
        last = self._first + len(self)
        if last + len(samples) > len(self._samples):
            self._make_room(len(samples))
            last = len(self)
        self._samples[last : last + len(samples)] = samples
        self.end += len(samples)

    def piece(self, start: int, end: int) -> Samples:
        """Return a copy of the samples from `start` to `end` of the session's clock."""
        offset = self._first - self.start
        return self._samples[start + offset : end + offset].copy()

    def drop_until(self, start: int) -> None:
        """Forget what lies before `start`."""
        dropped = min(max(0, start - self.start), len(self))
        self._first += dropped
        self.start += dropped
        if len(self._samples) > max(
            MIN_SAMPLES, MAX_SLACK * len(self)
        ):  # what a long item took is not kept for the next
            self._make_room(0)

    def take_until(self, end: int) -> Samples:
        """Return the samples before `end`, and forget them."""
        end = min(max(end, self.start), self.end)
        taken = self.piece(self.start, end)
        self.drop_until(end)
        return taken

    def _make_room(self, samples: int) -> None:
        """Move what is held to the front of an array that has room for so many more, and for some after them."""
        held = self._samples[self._first : self._first + len(self)]
        room = np.empty(max(MIN_SAMPLES, round(GROWTH * (len(held) + samples))), np.float32)
        room[: len(held)] = held
        self._samples, self._first = room, 0
