"""The decoded audio of a session that no item has taken, addressed by the session's clock."""

import numpy as np

from src.audio.samples import Samples

MIN_SAMPLES = 1 << 15
"""The smallest array, 2 s or 128 kB: what a session with little audio costs."""
GROWTH = 1.25
"""A new array is this many times as large as what it must hold."""
MAX_SLACK = 1.5
"""An array more than this many times as large as what it holds is replaced."""


class AudioBuffer:
    """16 kHz float32 samples from `start` to `end`, both in samples since the session began.

    Appending copies each sample a bounded number of times, however small the appended arrays are.
    """

    def __init__(self) -> None:
        self._samples = np.empty(MIN_SAMPLES, np.float32)
        self._offset = 0  # index of the sample `start` in the array
        self.start = 0
        self.end = 0

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, samples: Samples) -> None:
        """Add samples (samples,) at the end."""
        last = self._offset + len(self)
        if last + len(samples) > len(self._samples):
            self._reallocate(len(samples))
            last = len(self)
        self._samples[last : last + len(samples)] = samples
        self.end += len(samples)

    def copy(self, start: int, end: int) -> Samples:
        """Return a copy of the samples from `start` to `end` of the session's clock."""
        return self.view(start, end).copy()

    def view(self, start: int, end: int) -> Samples:
        """Return the samples from `start` to `end` without a copy. They stay as they are, whatever is done here.

        Nobody may write to them.
        """
        shift = self._offset - self.start
        return self._samples[start + shift : end + shift]

    def drop_until(self, start: int) -> None:
        """Drop the samples before `start`."""
        dropped = min(max(0, start - self.start), len(self))
        self._offset += dropped
        self.start += dropped
        if len(self._samples) > max(MIN_SAMPLES, MAX_SLACK * len(self)):  # a long item's room is not kept
            self._reallocate(0)

    def take_until(self, end: int) -> Samples:
        """Remove and return the samples before `end`."""
        end = min(max(end, self.start), self.end)
        taken = self.copy(self.start, end)
        self.drop_until(end)
        return taken

    def _reallocate(self, extra: int) -> None:
        """Move the samples to the front of a new array that has room for `extra` more, and some slack."""
        held = self._samples[self._offset : self._offset + len(self)]
        room = np.empty(max(MIN_SAMPLES, round(GROWTH * (len(held) + extra))), np.float32)
        room[: len(held)] = held
        self._samples, self._offset = room, 0
