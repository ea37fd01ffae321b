"""Downmixing: channels that cancel, and channels that do not."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from media import SAMPLE_RATE, clip, encode, likeness, pcm16, resampled, wav
from numpy.typing import NDArray

from src.audio.channels import FADE_DIVISOR, step_samples
from src.audio.decode import PcmFormat, decode

HALF_A_MINUTE = clip("long-30s")
SPEECH = HALF_A_MINUTE[: 15 * SAMPLE_RATE]
"""Four blocks."""
NOISE = np.random.default_rng(1).normal(0, 0.003, (2, len(SPEECH))).astype(np.float32)
FADE = step_samples(SAMPLE_RATE) // FADE_DIVISOR
"""Samples in which a recording fades in from the mean of its channels."""
RATES = [8000, 16000, 44100, 96000, 192000]

PATHS: dict[str, Callable[[NDArray[np.float32], int], NDArray[np.float32]]] = {
    "wav": lambda samples, rate: decode(wav(samples, rate)),
    "float wav": lambda samples, rate: decode(wav(samples, rate, subtype="FLOAT")),
    "flac": lambda samples, rate: decode(wav(samples, rate, container="FLAC")),
    "pcm": lambda samples, rate: decode(pcm16(samples), pcm=PcmFormat(rate, samples.shape[1])),
}
each_path = pytest.mark.parametrize("path", PATHS)


def stereo(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return two channels on the grid of PCM16."""
    return (np.round(np.stack([left, right], axis=1) * 32767) / 32768).astype(np.float32)


def level(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=float))))


CANCELLING = {
    "one inverted": (SPEECH, -SPEECH),
    "one inverted and 3 dB lower": (SPEECH, -0.708 * SPEECH),
    "the first is the lower one": (-0.5 * SPEECH, SPEECH),
    "one inverted and a sample late": (SPEECH, -np.roll(SPEECH, 1)),
    "noise in each channel": (SPEECH + NOISE[0], -SPEECH + NOISE[1]),
    "noise in both channels": (SPEECH + NOISE[0], -SPEECH + NOISE[0]),
}


@each_path
@pytest.mark.parametrize("name", CANCELLING)
def test_if_two_channels_cancel_the_louder_one_is_used(name, path):
    got = PATHS[path](stereo(*CANCELLING[name]), SAMPLE_RATE)
    assert likeness(got, SPEECH) > 0.98 or likeness(got, -SPEECH) > 0.98
    assert 0.95 < level(got) / level(SPEECH) < 1.05


@pytest.mark.parametrize("rate", RATES)
def test_channels_cancel_at_every_rate(rate):
    samples = resampled(SPEECH, rate)
    assert likeness(PATHS["wav"](stereo(samples, -samples), rate), SPEECH) > 0.98


@pytest.mark.parametrize("count", range(2, 9))
def test_channels_cancel_among_silent_ones(count):
    samples = np.zeros((len(SPEECH), count), np.float32)
    samples[:, 0], samples[:, -1] = SPEECH, -SPEECH
    for path in PATHS.values():
        assert likeness(path(samples, SAMPLE_RATE), SPEECH) > 0.99


@pytest.mark.parametrize("codec", ["aac", "flac"])
def test_channels_of_a_film_cancel(codec):
    got = decode(encode(stereo(SPEECH, -SPEECH), "matroska", codec, channels=2))
    assert likeness(got, SPEECH) > 0.98


ORDINARY = {
    "alike": (SPEECH, SPEECH),
    "one silent": (SPEECH, np.zeros_like(SPEECH)),
    "one dead but for noise": (SPEECH, NOISE[0]),
    "of two speakers": (SPEECH, np.roll(SPEECH, 7 * SAMPLE_RATE)),
    "one later": (SPEECH, np.roll(SPEECH, 160)),
    "one later and inverted": (SPEECH, -np.roll(SPEECH, 160)),
    "one inverted and 12 dB lower": (SPEECH, -0.25 * SPEECH),
    "noise": (NOISE[0], NOISE[1]),
    "inverted for a moment": (SPEECH, np.where(np.arange(len(SPEECH)) // 4000 % 20 == 0, -SPEECH, SPEECH)),
}


@each_path
@pytest.mark.parametrize("name", ORDINARY)
def test_channels_that_do_not_cancel_are_mixed_by_their_mean_to_the_bit(name, path):
    samples = stereo(*ORDINARY[name])
    got = PATHS[path](samples, SAMPLE_RATE)
    np.testing.assert_array_equal(got, samples.sum(axis=1) / np.float32(2))


@pytest.mark.parametrize("count", range(3, 9))
def test_one_channel_among_silent_ones_is_divided_by_their_number(count):
    samples = np.zeros((len(SPEECH), count), np.float32)
    samples[:, 2] = stereo(SPEECH, SPEECH)[:, 0]
    np.testing.assert_array_equal(PATHS["pcm"](samples, SAMPLE_RATE), samples[:, 2] / np.float32(count))


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_part_that_cancels_keeps_its_speech_and_the_rest_is_unchanged(rate):
    first, last = 8 * rate + 1234, 21 * rate + 777
    speech = stereo(resampled(HALF_A_MINUTE, rate), np.zeros(len(HALF_A_MINUTE) * rate // SAMPLE_RATE, np.float32))[
        :, 0
    ]
    right = speech.copy()
    right[first:last] *= -1
    got, usual = (decode(wav(np.stack([speech, other], axis=1), rate, subtype="FLOAT")) for other in (right, speech))
    near = np.full(len(usual), False)
    for edge in (first, last):
        at = edge * SAMPLE_RATE // rate
        near[at - SAMPLE_RATE // 10 : at + SAMPLE_RATE // 3] = True
    np.testing.assert_allclose(got[~near], usual[~near], atol=1e-4)
    assert level(got[near] - usual[near]) < 0.5 * level(usual[near]) + 0.01


def test_nothing_clicks_where_the_source_changes():
    tone = (0.5 * np.sin(2 * np.pi * 200 * np.arange(20 * SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    right = tone.copy()
    right[5 * SAMPLE_RATE + 300 : 12 * SAMPLE_RATE + 300] *= -1
    right[5 * SAMPLE_RATE + 300 : 6 * SAMPLE_RATE] = 0  # it fades from the mean of one to the other, not at a jump
    got = decode(wav(stereo(tone, right)))
    steepest = np.abs(np.diff(tone)).max()
    jumps = np.flatnonzero(np.abs(np.diff(got)) > 1.3 * steepest)
    inputs = np.array([5 * SAMPLE_RATE + 300, 6 * SAMPLE_RATE, 12 * SAMPLE_RATE + 300])
    assert all(np.abs(inputs - jump).min() < 2 for jump in jumps)


@given(st.integers(0, 5 * SAMPLE_RATE), st.integers(SAMPLE_RATE // 4, 8 * SAMPLE_RATE))
@settings(max_examples=20, deadline=None)
def test_a_short_or_shifted_recording_that_cancels_keeps_its_level(start, length):
    speech = SPEECH[start : start + length]
    assume(level(speech[: length // 2]) > 0.003)  # a first sound in the last 48 ms of a recording may be missed
    got = decode(wav(stereo(speech, -speech)))
    assert len(got) == len(speech)
    assert level(got[FADE:]) >= 0.9 * level(speech[FADE:])
