"""A batch as one block of memory: written where the host can copy it from by itself, and read on the device.

This file loads torch; it is imported when a model is loaded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from src.audio.samples import Samples
from src.engine.cuda import DeviceCopy, Gpu
from src.engine.encoder.buckets import Bucket
from src.engine.encoder.sub_batches import SubBatch
from src.engine.frames import SAMPLES_PER_FRAME

EMPTY_ROW_SAMPLES = SAMPLES_PER_FRAME
"""The length of the silence that stands in a bucket's row without a clip."""
_ROW_BYTES = 16
_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class PaddedPart:
    """The clips of a part, padded to its bucket; views of the batch's block."""

    lengths: torch.Tensor
    """(rows,) int64, in samples."""
    numbers: torch.Tensor
    """(clips,) int64: which clip of the batch each row has. Rows without a clip come last, and are not counted here."""
    audio: torch.Tensor
    """(rows, samples) float32. What lies behind a row's length is any number, NaN among them."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A batch of clips on its way to the device."""

    lengths: tuple[int, ...]
    """Of each clip, in samples."""
    parts: tuple[SubBatch, ...]
    block: DeviceCopy
    """For each part the lengths of its rows, their clips' numbers, and their samples."""

    def padded(self) -> Iterator[tuple[SubBatch, PaddedPart]]:
        """Yield each part with what the device has of it."""
        return zip(self.parts, _views(self.block.data, self.parts), strict=True)


def stage(clips: Sequence[Samples], parts: Sequence[SubBatch], gpu: Gpu) -> Staged:
    """Lay out clips of 16 kHz samples by their parts and begin to copy them to the device.

    Raises:
        Exception: whatever torch raises where there is no memory.
    """
    block = gpu.allocate_pinned(sum(_size_bytes(part.bucket) for part in parts))
    for part, padded in zip(parts, _views(block, parts), strict=True):
        filled = len(part.clips)
        padded.lengths[:filled] = torch.tensor([len(clips[clip]) for clip in part.clips])
        padded.numbers.copy_(torch.tensor(part.clips))
        for row, clip in zip(padded.audio, part.clips, strict=False):
            row[: len(clips[clip])] = torch.from_numpy(clips[clip])
        padded.lengths[filled:] = EMPTY_ROW_SAMPLES
        padded.audio[filled:, :EMPTY_ROW_SAMPLES] = 0.0
    return Staged(tuple(map(len, clips)), tuple(parts), gpu.copy_to_device(block))


def _size_bytes(bucket: Bucket) -> int:
    return bucket.clips * (_ROW_BYTES + _SAMPLE_BYTES * bucket.samples)


def _views(block: torch.Tensor, parts: Sequence[SubBatch]) -> Iterator[PaddedPart]:
    """Yield what a block, (bytes,) uint8, has of each part."""
    start = 0
    for part in parts:
        rows = part.bucket.clips
        numbers = block[start : start + _ROW_BYTES * rows].view(torch.int64).view(2, rows)
        samples = block[start + _ROW_BYTES * rows : start + _size_bytes(part.bucket)].view(torch.float32)
        yield PaddedPart(numbers[0], numbers[1, : len(part.clips)], samples.view(rows, -1))
        start += _size_bytes(part.bucket)
