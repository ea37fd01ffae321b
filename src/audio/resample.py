"""A stream of mono samples at any rate to 16 kHz, the same however it is cut."""

import numpy as np
import soxr
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE


class Resampler:
    """Resamples one stream after the other from `rate` Hz to 16 kHz. One thread at a time may use it.

    What it gives for a stream, joined, equals `librosa.resample(res_type="soxr_hq")` of the whole, bit for bit however
    the stream is cut (soxr 1.1.0: pieces of 1 ms to 4 s at 8 to 48 kHz). It holds back what soxr does: up to 37 ms at
    24 and 48 kHz, 116 ms at 8 kHz. At 16 kHz it gives the very arrays that it is fed, at once.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._soxr = None
        if rate != SAMPLE_RATE:
            self._soxr = soxr.ResampleStream(rate, SAMPLE_RATE, num_channels=1, dtype="float32", quality="HQ")
        self._taken = self._given = 0

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what of the stream at 16 kHz is ready, (samples,), perhaps nothing, after more of it (samples,)."""
        if self._soxr is None:
            return samples
        resampled: NDArray[np.float32] = self._soxr.resample_chunk(samples)
        self._taken += len(samples)
        self._given += len(resampled)
        return resampled

    def finish(self) -> NDArray[np.float32]:
        """Return the rest of the stream (samples,); what is fed from now on is a new one."""
        if self._soxr is None:
            return np.empty(0, np.float32)
        rest: NDArray[np.float32] = self._soxr.resample_chunk(np.empty(0, np.float32), last=True)
        length = -(-self._taken * SAMPLE_RATE // self._rate)  # soxr rounds it, librosa rounds it up
        missing = length - self._given - len(rest)
        self._soxr.clear()
        self._taken = self._given = 0
        return np.pad(rest, (0, missing)) if missing > 0 else rest[: len(rest) + missing]
