"""Blocks of samples, the pieces in which audio is decoded."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 16
"""Samples of a channel that are decoded at a time: 4 s at 16 kHz, 2 MiB of eight channels."""


class Block(NamedTuple):
    """Mono samples at a rate of their own."""

    rate: int
    samples: NDArray[np.float32]
