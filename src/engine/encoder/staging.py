"""A batch as one block of memory: filled in pinned host memory, copied at once, and viewed as tensors on the device.

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
"""Samples of silence in a row of a bucket that has no clip."""
_ROW_BYTES = 16
_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class PaddedSubBatch:
    """The clips of a sub-batch padded to its bucket, as views of the batch's block."""

    lengths: torch.Tensor
    """(rows,) int64, in samples."""
    indices: torch.Tensor
    """(clips,) int64: the index in the batch of each row's clip. Rows without a clip are at the end and have none."""
    audio: torch.Tensor
    """(rows, samples) float32. Samples beyond a row's length are undefined and may be NaN."""


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """A batch of clips whose copy to the device is under way."""

    lengths: tuple[int, ...]
    """Samples of each clip."""
    sub_batches: tuple[SubBatch, ...]
    block: DeviceCopy
    """For each sub-batch the lengths of its rows, the indices of their clips, and their samples."""

    def on_device(self) -> Iterator[tuple[SubBatch, PaddedSubBatch]]:
        """Yield each sub-batch with its tensors on the device."""
        return zip(self.sub_batches, _views(self.block.data, self.sub_batches), strict=True)


def stage(clips: Sequence[Samples], sub_batches: Sequence[SubBatch], gpu: Gpu) -> StagedBatch:
    """Write clips of 16 kHz samples into one block, by sub-batches, and start its copy to the device.

    Raises:
        Exception: whatever torch raises if memory does not suffice.
    """
    block = gpu.allocate_pinned(sum(_size_bytes(sub_batch.bucket) for sub_batch in sub_batches))
    for sub_batch, padded in zip(sub_batches, _views(block, sub_batches), strict=True):
        filled = len(sub_batch.clips)
        padded.lengths[:filled] = torch.tensor([len(clips[index]) for index in sub_batch.clips])
        padded.indices.copy_(torch.tensor(sub_batch.clips))
        for row, index in zip(padded.audio, sub_batch.clips, strict=False):
            row[: len(clips[index])] = torch.from_numpy(clips[index])
        padded.lengths[filled:] = EMPTY_ROW_SAMPLES
        padded.audio[filled:, :EMPTY_ROW_SAMPLES] = 0.0
    return StagedBatch(tuple(map(len, clips)), tuple(sub_batches), gpu.copy_to_device(block))


def _size_bytes(bucket: Bucket) -> int:
    return bucket.clips * (_ROW_BYTES + _SAMPLE_BYTES * bucket.samples)


def _views(block: torch.Tensor, sub_batches: Sequence[SubBatch]) -> Iterator[PaddedSubBatch]:
    """Yield the tensors of each sub-batch as views of a block, (bytes,) uint8."""
    start = 0
    for sub_batch in sub_batches:
        rows = sub_batch.bucket.clips
        stop = start + _size_bytes(sub_batch.bucket)
        numbers = block[start : start + _ROW_BYTES * rows].view(torch.int64).view(2, rows)
        samples = block[start + _ROW_BYTES * rows : stop].view(torch.float32)
        yield PaddedSubBatch(numbers[0], numbers[1, : len(sub_batch.clips)], samples.view(rows, -1))
        start = stop
