"""Silero's network: how frames are cut into calls makes no difference, nor do other streams in a call."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from media import clip
from numpy.typing import NDArray

from src.audio.silero import CONTEXT_SAMPLES, FRAME_SAMPLES, Silero, State


@pytest.fixture(scope="module")
def network() -> Silero:
    return Silero()


def frames(name: str, count: int) -> NDArray[np.float32]:
    """The first frames of a clip, each with its context: (frames, 576)."""
    samples = np.pad(clip(name), (CONTEXT_SAMPLES, 0))
    return np.lib.stride_tricks.sliding_window_view(samples, CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES][:count]


def in_blocks(network: Silero, block: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    """The probabilities of frames, fed `size` at a time."""
    state: State | None = None
    for start in range(0, len(block), size):
        ((probabilities, state),) = network.run([block[start : start + size]], [state])
        yield probabilities


def test_few_frames_at_a_time_give_what_many_give(network):
    block = frames("piper-joe-1", 40)
    ((together, _),) = network.run([block], [None])
    assert together.shape == (40,)
    assert together.max() > 0.9
    for size in (1, 3, 8):
        np.testing.assert_allclose(np.concatenate(list(in_blocks(network, block, size))), together, atol=1e-5)


def test_several_streams_in_one_call_give_what_each_gives_alone(network):
    blocks = [frames("piper-joe-1", 30), frames("noise-pink-4s", 5), frames("flite-slt-1", 17)]
    alone = [network.run([block], [None])[0] for block in blocks]
    together = network.run(blocks, [None, None, None])
    for (probabilities, state), (expected, expected_state) in zip(together, alone, strict=True):
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
        np.testing.assert_allclose(state.hidden, expected_state.hidden, atol=1e-5)
        np.testing.assert_allclose(state.cell, expected_state.cell, atol=1e-3)


def test_torch_keeps_its_threads_for_others(network):
    threads = torch.get_num_threads()
    network.run([frames("piper-joe-1", 40)], [None])
    assert torch.get_num_threads() == threads
