"""Samples: mono audio at the rate that the model and the speech detector take."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Samples = NDArray[np.float32]
"""(samples,) float32 at 16 kHz, full scale at -1 and 1."""
