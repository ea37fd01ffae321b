"""Samples: mono audio at the sample rate of the model and of the speech detector."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Samples = NDArray[np.float32]
"""(samples,) float32 at 16 kHz; full scale is -1 to 1."""
