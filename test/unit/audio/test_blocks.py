"""Blocks: samples split into them, joined to them, and silence in them."""

import numpy as np
import pytest

from src.audio.blocks import BLOCK_SAMPLES, regroup, silent_blocks, split_blocks


@pytest.mark.parametrize("count", [0, 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 1, 2 * BLOCK_SAMPLES])
def test_samples_are_split_into_whole_blocks_and_a_rest(count):
    samples = np.arange(2 * count).reshape(count, 2)
    blocks = list(split_blocks(samples))
    assert [len(block) for block in blocks[:-1]] == [BLOCK_SAMPLES] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate([samples[:0], *blocks]), samples)
    assert all(np.shares_memory(block, samples) for block in blocks)


@pytest.mark.parametrize(
    "sizes", [[], [10], [1024] * 100, [BLOCK_SAMPLES], [BLOCK_SAMPLES - 1, 2], [3 * BLOCK_SAMPLES]]
)
def test_arrays_of_any_size_are_joined_to_whole_blocks_and_a_rest(sizes):
    samples = np.arange(2 * sum(sizes)).reshape(-1, 2)
    blocks = list(regroup(np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []))
    assert [len(block) for block in blocks[:-1]] == [BLOCK_SAMPLES] * max(0, len(blocks) - 1)
    assert all(0 < len(block) <= BLOCK_SAMPLES for block in blocks)
    np.testing.assert_array_equal(np.concatenate([samples[:0], *blocks]), samples)


@pytest.mark.parametrize(("rate", "seconds"), [(16_000, 0), (16_000, 0.1), (8_000, 20), (48_000, 3600)])
def test_silence_of_any_length_comes_in_blocks(rate, seconds):
    count = 0
    for block in silent_blocks(rate, seconds):
        assert block.rate == rate
        assert 0 < len(block.samples) <= BLOCK_SAMPLES
        assert not block.samples.any()
        count += len(block.samples)
    assert count == round(rate * seconds)
