"""Turn detection on all bundled clips, with the real speech detector."""

import pytest
from media import as_pcm16, clip
from session_harness import silence

from src.audio.vad import SpeechDetector
from src.realtime.turn_detection import TurnDetection, TurnDetector, TurnStarted, TurnStopped


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.mark.parametrize("level", [1, 0.1, 0.01])
def test_every_bundled_clip_with_words_is_turns_and_no_other_is(detector, transcripts, level):
    for name, text in transcripts.items():
        samples = as_pcm16(silence(1), clip(name.removesuffix(".flac")) * level, silence(1))
        events = TurnDetector(TurnDetection(), detector.new_stream()).feed(samples)
        assert bool(events) == bool(text), name
        assert [type(event) for event in events] == [TurnStarted, TurnStopped] * (len(events) // 2), name
