"""Resampling a stream: the same, bit for bit, however it is cut, and the same as the whole at once."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from media import SAMPLE_RATE, clip, resampled
from numpy.typing import NDArray

from src.audio.resample import Resampler

SPEECH = clip("flite-slt-1")
RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 47999, 48000, 192000]


def streamed(resampler: Resampler, pieces: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([*map(resampler.feed, pieces), resampler.finish()])


def pieces(samples: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("rate", RATES)
def test_parts_of_any_length_give_what_soxr_gives_for_the_whole(rate):
    samples = resampled(SPEECH, rate)
    whole = streamed(Resampler(rate), [samples])
    expected = soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
    assert whole.dtype == np.float32
    assert len(whole) == -(-len(samples) * SAMPLE_RATE // rate)
    np.testing.assert_allclose(whole[: len(expected)], expected[: len(whole)], atol=1e-6)
    for size_ms in (1, 20, 1000):
        np.testing.assert_array_equal(streamed(Resampler(rate), pieces(samples, rate * size_ms // 1000)), whole)


@given(st.sampled_from(RATES), st.lists(st.integers(0, 3000), max_size=12))
@settings(max_examples=60)
def test_any_cuts_give_the_same_samples(rate, sizes):
    samples = np.resize(SPEECH[8000:], sum(sizes))
    cut = np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []
    np.testing.assert_array_equal(streamed(Resampler(rate), cut), streamed(Resampler(rate), [samples]))


@pytest.mark.parametrize("rate", RATES)
def test_a_finished_stream_does_not_affect_the_next_one(rate):
    samples = resampled(SPEECH, rate)
    resampler = Resampler(rate)
    first = streamed(resampler, pieces(samples, 999))
    assert len(streamed(resampler, [])) == 0
    np.testing.assert_array_equal(streamed(resampler, [samples]), first)


@pytest.mark.parametrize(("rate", "most_ms"), [(8000, 120), (16000, 0), (24000, 40), (44100, 45), (48000, 40)])
def test_little_is_held_back(rate, most_ms):
    resampler, held = Resampler(rate), 0
    for piece in pieces(resampled(SPEECH, rate), rate // 100):
        held += len(piece) * SAMPLE_RATE // rate - len(resampler.feed(piece))
        assert held <= most_ms * SAMPLE_RATE // 1000
