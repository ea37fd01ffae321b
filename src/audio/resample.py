"""Resample a stream of mono samples to 16 kHz; how the stream is cut makes no difference."""

import numpy as np
import soxr
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE, Samples


class Resampler:
    """Resamples one stream after another from `rate` Hz to 16 kHz. One thread at a time may use it.

    The joined output of a stream equals `librosa.resample(res_type="soxr_hq")` of the whole stream, bit for bit however
    it is cut (soxr 1.1.0: parts of 1 ms to 4 s at 8 to 48 kHz). soxr delays its output: by up to 37 ms at 24 and
    48 kHz, 116 ms at 8 kHz. At 16 kHz each array is returned unchanged, at once.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._soxr = None
        if rate != SAMPLE_RATE:
            self._soxr = soxr.ResampleStream(rate, SAMPLE_RATE, num_channels=1, dtype="float32", quality="HQ")
        self._input_samples = self._output_samples = 0

    def feed(self, samples: NDArray[np.float32]) -> Samples:
        """Add samples (samples,) at `rate` Hz, and return the 16 kHz samples that are ready (samples,), maybe none."""
        if self._soxr is None:
            return samples
        resampled: Samples = self._soxr.resample_chunk(samples)
        self._input_samples += len(samples)
        self._output_samples += len(resampled)
        return resampled

    def finish(self) -> Samples:
        """End the stream and return the rest of it (samples,). What is fed next begins a new stream."""
        if self._soxr is None:
            return np.empty(0, np.float32)
        rest: Samples = self._soxr.resample_chunk(np.empty(0, np.float32), last=True)
        length = -(-self._input_samples * SAMPLE_RATE // self._rate)  # soxr rounds to nearest, librosa rounds up
        missing = length - self._output_samples - len(rest)
        self._soxr.clear()
        self._input_samples = self._output_samples = 0
        return np.pad(rest, (0, missing)) if missing > 0 else rest[: len(rest) + missing]
