"""A batch in one block of memory, on a fake GPU."""

import numpy as np
import torch
from fake_gpu import FakeGpu

from src.engine.encoder.buckets import Bucket
from src.engine.encoder.staging import EMPTY_ROW_SAMPLES, stage
from src.engine.encoder.sub_batches import SubBatch

CLIPS = [np.full(length, index + 1, dtype=np.float32) for index, length in enumerate((9_000, 1_500, 4_000))]
SUB_BATCHES = [SubBatch((2, 1), Bucket(4, 8)), SubBatch((0,), Bucket(1, 16))]


def test_a_batch_is_one_copy_that_is_not_waited_for():
    gpu = FakeGpu()
    staged = stage(CLIPS, SUB_BATCHES, gpu)
    assert staged.lengths == (9_000, 1_500, 4_000)
    [block] = gpu.copied
    samples = sum(each.bucket.clips * each.bucket.samples for each in SUB_BATCHES)
    rows = sum(each.bucket.clips for each in SUB_BATCHES)
    assert block.numel() == 4 * samples + 16 * rows
    assert not torch.equal(staged.block.data, block)
    staged.block.wait()
    assert torch.equal(staged.block.data, block)


def test_each_sub_batch_has_its_clips_with_their_lengths_and_indices():
    staged = stage(CLIPS, SUB_BATCHES, FakeGpu())
    staged.block.wait()
    for sub_batch, padded in staged.on_device():
        assert padded.audio.shape == (sub_batch.bucket.clips, sub_batch.bucket.samples)
        assert tuple(padded.indices.tolist()) == sub_batch.clips
        for row, length, index in zip(padded.audio, padded.lengths.tolist(), sub_batch.clips, strict=False):
            assert length == len(CLIPS[index])
            assert row[:length].unique().tolist() == [index + 1]


def test_rows_without_a_clip_are_a_frame_of_silence():
    staged = stage(CLIPS, SUB_BATCHES, FakeGpu())
    staged.block.wait()
    (_, first), _ = staged.on_device()
    assert first.lengths[2:].tolist() == [EMPTY_ROW_SAMPLES] * 2
    assert not first.audio[2:, :EMPTY_ROW_SAMPLES].any()
