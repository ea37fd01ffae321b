"""Resampled audio is what librosa gives for the whole."""

import librosa
import numpy as np
import pytest
from media import SAMPLE_RATE, likeness, resampled, wav
from media_files import RATES, SPEECH, decoded
from numpy.typing import NDArray

from src.audio.resample import Resampler


@pytest.mark.parametrize("rate", RATES)
def test_every_sample_rate_is_resampled_as_librosa_does(rate):
    samples = resampled(SPEECH, rate)
    expected = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    got = decoded(wav(samples, rate, subtype="FLOAT"))
    assert len(got) == len(expected) == -(-len(samples) * SAMPLE_RATE // rate)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert likeness(got, SPEECH) > 0.99


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("length", [1, 2, 7, 1000, 65_535, 65_536, 65_537, 131_072])
def test_resampling_does_not_show_where_blocks_meet(rate, length):
    samples = np.resize(SPEECH, length)
    expected = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    np.testing.assert_allclose(decoded(wav(samples, rate, subtype="FLOAT")), expected, atol=1e-6)


def streamed(resampler: Resampler, pieces: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([*map(resampler.feed, pieces), resampler.finish()])


def pieces(samples: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.mark.parametrize("rate", [*RATES, 47_999])
def test_parts_of_any_length_give_what_librosa_gives_for_the_whole(rate):
    samples = resampled(SPEECH, rate)
    whole = streamed(Resampler(rate), [samples])
    expected = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    assert whole.dtype == np.float32
    assert len(whole) == -(-len(samples) * SAMPLE_RATE // rate)
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    for size_ms in (1, 20, 1000):
        np.testing.assert_array_equal(streamed(Resampler(rate), pieces(samples, rate * size_ms // 1000)), whole)
