"""The frame clock of a Parakeet encoder: a feature every 10 ms, a frame of eight features every 80 ms."""

import math

from src.audio.samples import SAMPLE_RATE

SAMPLES_PER_FEATURE = 160
FEATURES_PER_FRAME = 8
SAMPLES_PER_FRAME = SAMPLES_PER_FEATURE * FEATURES_PER_FRAME
FRAME_SECONDS = SAMPLES_PER_FRAME / SAMPLE_RATE


def frames_in(samples: int) -> int:
    """Return the number of frames that the encoder makes of `samples` at 16 kHz; the last may be partly empty."""
    return math.ceil(samples // SAMPLES_PER_FEATURE / FEATURES_PER_FRAME)


def nearest_frames(seconds: float) -> int:
    """Return a duration as the nearest whole number of frames."""
    return round(seconds * SAMPLE_RATE / SAMPLES_PER_FRAME)
