"""Blocks: audio as it is decoded, a few seconds at a time."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 16
"""Samples per channel in a block: 4 s at 16 kHz; 2 MiB with eight channels."""


class Block(NamedTuple):
    """Mono samples at the file's own sample rate."""

    rate: int
    """Sample rate in Hz."""
    samples: NDArray[np.float32]
    """(samples,)"""


def split_blocks(samples: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield samples (samples, ...) as views of `BLOCK_SAMPLES`; the last one may be shorter."""
    return (samples[start : start + BLOCK_SAMPLES] for start in range(0, len(samples), BLOCK_SAMPLES))


def regroup(arrays: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Join arrays (samples, ...), such as a codec's frames, to arrays of `BLOCK_SAMPLES`; the last may be shorter."""
    held: list[NDArray[Any]] = []
    missing = BLOCK_SAMPLES
    for array in arrays:
        held.append(array)
        missing -= len(array)
        if missing <= 0:
            joined = np.concatenate(held)
            whole = len(joined) // BLOCK_SAMPLES * BLOCK_SAMPLES
            yield from split_blocks(joined[:whole])
            held, missing = [joined[whole:]], BLOCK_SAMPLES - (len(joined) - whole)
    if missing < BLOCK_SAMPLES:
        yield np.concatenate(held)


def silent_blocks(rate: int, seconds: float) -> Iterator[Block]:
    """Yield `seconds` of silence at a sample rate."""
    count = round(seconds * rate)
    for start in range(0, count, BLOCK_SAMPLES):
        yield Block(rate, np.zeros(min(BLOCK_SAMPLES, count - start), np.float32))
