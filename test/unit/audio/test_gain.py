"""Gain control: speech at one level whatever its own, untouched by clicks, and the same however audio is cut."""

import numpy as np
import pytest
from media import clip
from numpy.typing import NDArray

from src.audio.gain import (
    CREST_FACTOR,
    FRAME_S,
    MIN_LEVEL,
    RELEASE_DB,
    TARGET_PEAK,
    TRANSIENT_FRAMES,
    GainControl,
    loudness_of,
)
from src.audio.silero import FRAME_SAMPLES

LOOKAHEAD = 7


def tone(level: float, frames: int) -> NDArray[np.float32]:
    """Whole frames of a 500 Hz tone, 16 periods in each, with this root mean square."""
    time = np.arange(frames * FRAME_SAMPLES) / 16_000
    return (level * np.sqrt(2) * np.sin(2 * np.pi * 500 * time)).astype(np.float32)


def applied(samples: NDArray[np.float32], lookahead: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    levelled = GainControl(lookahead).apply(samples, last=True)
    return levelled.frames, levelled.faint


def gains(samples: NDArray[np.float32], lookahead: int = 0) -> NDArray[np.float32]:
    """The gain of each frame of a tone (frames,)."""
    frames, _ = applied(samples, lookahead)
    return np.abs(frames).max(axis=1) / np.abs(samples.reshape(-1, FRAME_SAMPLES)).max(axis=1)


@pytest.mark.parametrize("level", [0.001, 0.01, 0.1, 10.0, 1e6])
def test_audio_of_any_level_is_brought_to_the_target(level):
    np.testing.assert_allclose(gains(tone(level, 4)), TARGET_PEAK / (CREST_FACTOR * level), rtol=1e-3)


def test_audio_below_the_least_level_is_not_raised_further():
    np.testing.assert_allclose(gains(tone(1e-5, 4)), TARGET_PEAK / MIN_LEVEL, rtol=1e-3)


def test_silence_stays_silence_and_is_not_faint():
    frames, faint = applied(np.concatenate([tone(0.1, 20), np.zeros(20 * FRAME_SAMPLES, np.float32)]))
    assert not frames[20:].any()
    assert not faint.any()


def test_the_gain_rises_slowly_after_a_loud_sound():
    quiet = gains(np.concatenate([tone(0.1, 40), tone(0.001, 60)]))[40:]
    rise_db = 20 * np.log10(quiet[1:] / quiet[:-1])
    np.testing.assert_allclose(rise_db[20:], RELEASE_DB, rtol=1e-2)


def test_much_quieter_audio_after_a_loud_sound_is_faint():
    _, faint = applied(np.concatenate([tone(0.1, 40), tone(0.001, 10), tone(0.05, 10)]))
    assert faint.tolist() == [False] * 40 + [True] * 10 + [False] * 10


@pytest.mark.parametrize(("frames", "is_remembered"), [(TRANSIENT_FRAMES, False), (TRANSIENT_FRAMES + 1, True)])
def test_only_a_sustained_sound_sets_the_level_of_later_frames(frames, is_remembered):
    usual = TARGET_PEAK / (CREST_FACTOR * 0.01)
    after = gains(np.concatenate([tone(0.01, 40), tone(1.0, frames), tone(0.01, 40)]))[-20:]
    assert (after < usual / 5).all() == is_remembered
    assert np.allclose(after, usual, rtol=1e-3) != is_remembered


def test_a_loud_sound_within_the_lookahead_keeps_the_audio_before_it_low():
    samples = np.concatenate([tone(0.01, 20), tone(1.0, 20)])
    without, ahead = gains(samples), gains(samples, LOOKAHEAD)
    np.testing.assert_allclose(without[:20], TARGET_PEAK / (CREST_FACTOR * 0.01), rtol=1e-3)
    assert (ahead[20 - LOOKAHEAD + TRANSIENT_FRAMES : 20] < without[:1] / 5).all()
    np.testing.assert_allclose(ahead[:8], without[:8], rtol=1e-3)


@pytest.mark.parametrize("lookahead", [0, LOOKAHEAD])
@pytest.mark.parametrize("size", [1, 3, 50])
def test_how_audio_is_cut_into_calls_makes_no_difference(lookahead, size):
    samples = clip("rhvoice-slt-1")
    samples = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
    expected, faint = applied(samples, lookahead)
    gain = GainControl(lookahead)
    step = size * FRAME_SAMPLES
    parts = [gain.apply(samples[start : start + step]) for start in range(0, len(samples), step)]
    parts.append(gain.apply(samples[:0], last=True))
    np.testing.assert_allclose(np.concatenate([part.frames for part in parts]), expected, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate([part.faint for part in parts]), faint)


def test_frames_are_held_until_the_lookahead_is_there():
    gain = GainControl(LOOKAHEAD)
    assert len(gain.apply(tone(0.1, LOOKAHEAD)).frames) == 0
    assert len(gain.apply(tone(0.1, 3)).frames) == 3
    assert len(gain.apply(tone(0.1, 0), last=True).frames) == LOOKAHEAD


def test_a_click_hardly_changes_the_loudness_of_its_frame():
    frames = tone(0.01, 1).reshape(1, FRAME_SAMPLES)
    clicking = frames.copy()
    clicking[0, 100] = 1000
    assert loudness_of(frames)[0] == pytest.approx(0.01, rel=1e-3)
    assert loudness_of(clicking)[0] < 2 * loudness_of(frames)[0]
    assert FRAME_S == FRAME_SAMPLES / 16_000


def test_streams_together_are_levelled_exactly_as_each_by_itself():
    rng = np.random.default_rng(0)
    names = ("piper-joe-1", "noise-pink-4s", "fsdd-jackson-1", "silence-2s", "rhvoice-slt-1")
    left = [clip(name) * np.float32(level) for name in names for level in (1, 0.01, 1e-5)]
    left = [samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES] for samples in left]
    pairs = [(GainControl(), GainControl()) for _ in left]
    while any(map(len, left)):
        sizes = FRAME_SAMPLES * rng.integers(1, 6, len(left))
        now = [(*pair, samples[:size]) for pair, samples, size in zip(pairs, left, sizes, strict=True) if len(samples)]
        left = [samples[size:] for samples, size in zip(left, sizes, strict=True)]
        together = GainControl.apply_together([control for control, _, _ in now], [samples for _, _, samples in now])
        for (_, alone, samples), found in zip(now, together, strict=True):
            np.testing.assert_array_equal(found, alone.apply(samples).frames.ravel())
