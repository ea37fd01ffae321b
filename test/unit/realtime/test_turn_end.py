"""The silence that ends a turn: its rest is made of its beginning, unless there is something in it."""

import numpy as np
import pytest
from session_harness import RATE, silence, speech

from src.realtime.turn_end import heard_samples, may_be_mirrored, mirror_silence, with_mirrored_silence

SPOKEN = RATE
NOISE = np.random.default_rng(1).normal(0, 0.01, RATE).astype(np.float32)


def turn(silence_s: float = 0.5) -> np.ndarray:
    """A turn of a second of speech, and noise after it."""
    return np.concatenate([speech(1.0), NOISE[: round(silence_s * RATE)]])


def test_the_rest_of_a_silence_is_its_beginning_backwards_and_forwards():
    samples = turn()
    heard = samples[: heard_samples(SPOKEN)].copy()
    assert mirror_silence(samples, SPOKEN)
    assert len(samples) == len(turn())
    assert np.array_equal(samples[: len(heard)], heard)
    tenth = heard[-RATE // 10 :]
    assert np.array_equal(samples[len(heard) :], np.concatenate([tenth[::-1], tenth, tenth[::-1]]))


def test_a_turn_that_is_completed_in_its_pause_is_the_same_as_at_its_end():
    samples = turn()
    early = with_mirrored_silence(samples[: heard_samples(SPOKEN)], len(samples))
    assert mirror_silence(samples, SPOKEN)
    assert np.array_equal(early, samples)
    assert early.dtype == np.float32


def test_digital_silence_stays_as_it_is():
    samples = np.concatenate([speech(1.0), silence(0.5)])
    before = samples.copy()
    assert mirror_silence(samples, SPOKEN)
    assert np.array_equal(samples, before)


@pytest.mark.parametrize("silence_s", [0.0, 0.1, 0.2, 1.1, 4.0])
def test_a_silence_without_a_rest_and_a_long_one_stay_as_they_are(silence_s):
    assert not may_be_mirrored(round(silence_s * RATE))
    samples = np.concatenate([speech(1.0), np.tile(NOISE, 4)[: round(silence_s * RATE)]])
    before = samples.copy()
    assert not mirror_silence(samples, SPOKEN)
    assert np.array_equal(samples, before)


def test_a_turn_that_something_else_ended_stays_as_it_is():
    samples = speech(1.0)
    assert not mirror_silence(samples, SPOKEN + 100)
    assert np.array_equal(samples, speech(1.0))


def test_a_sound_in_the_rest_stays():
    samples = turn()
    samples[SPOKEN + RATE * 3 // 10] = 0.2
    before = samples.copy()
    assert not mirror_silence(samples, SPOKEN)
    assert np.array_equal(samples, before)
