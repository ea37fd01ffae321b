"""Live frames of many streams together: the probabilities of each by itself, and errors that stay with their stream."""

import numpy as np
import pytest
from media import clip

from src.audio.gain import GainControl
from src.audio.live_frames import LiveFrames, probabilities_of
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import SpeechDetector

CLIPS = ("piper-joe-1", "noise-pink-4s", "fsdd-jackson-1", "rhvoice-slt-1", "silence-2s")


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


class Live:
    """A live stream of a clip, some frames at a time."""

    def __init__(self, detector: SpeechDetector, name: str, level: float = 1.0) -> None:
        samples = clip(name) * np.float32(level)
        self._left = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
        self.gain, self.stream = GainControl(), detector.new_stream()

    def __bool__(self) -> bool:
        return len(self._left) > 0

    def next(self, frames: int) -> LiveFrames:
        now, self._left = np.split(self._left, [frames * FRAME_SAMPLES])
        return LiveFrames(now, self.gain, self.stream)


@pytest.mark.parametrize("most", [1, 4, 40])
def test_streams_together_have_the_probabilities_of_each_by_itself(detector, most):
    rng = np.random.default_rng(most)
    together, alone = ([Live(detector, name, level) for name in CLIPS for level in (1, 0.01)] for _ in range(2))
    while live := [pair for pair in zip(together, alone, strict=True) if pair[0]]:
        counts = rng.integers(1, most, len(live), endpoint=True)
        found = probabilities_of(detector, [each.next(count) for (each, _), count in zip(live, counts, strict=True)])
        expected = [each.next(count).probabilities() for (_, each), count in zip(live, counts, strict=True)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(one), other, atol=3e-5)


def test_an_error_stays_with_its_stream_and_the_others_go_on(detector):
    good, broken, expected = (Live(detector, "piper-joe-1") for _ in range(3))
    broken.stream.held = np.empty((2, 2), np.float32)
    for _ in range(3):
        one, error = probabilities_of(detector, [good.next(5), broken.next(5)])
        assert isinstance(error, ValueError)
        np.testing.assert_allclose(np.asarray(one), expected.next(5).probabilities(), atol=3e-5)


def test_an_error_of_the_gain_control_stays_with_its_stream_too(detector):
    good, broken, expected = (Live(detector, "piper-joe-1") for _ in range(3))
    broken.gain._loudness = np.zeros(3, np.float32)
    for _ in range(3):
        one, error = probabilities_of(detector, [good.next(5), broken.next(5)])
        assert isinstance(error, ValueError)
        np.testing.assert_allclose(np.asarray(one), expected.next(5).probabilities(), atol=3e-5)


def test_no_streams_have_no_probabilities(detector):
    assert probabilities_of(detector, []) == []
