"""Words that the model invents in live text: sounds in which nobody speaks, and words that are spoken."""

import numpy as np
import pytest
from media import clip
from session_harness import SessionHarness, append, manual_client

from src.audio.samples import Samples
from src.audio.vad import SpeechDetector, run_detection
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.session import Session
from src.settings import Settings
from src.transcription.vad_fallback import MIN_SPEECH_S

TIME_S = np.arange(4 * 16_000) / 16_000
SOUNDS = {
    "chirp": 0.3 * np.sin(2 * np.pi * (200 + 200 * TIME_S) * TIME_S),
    "trembling tone": 0.3 * np.sin(2 * np.pi * 300 * TIME_S) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * TIME_S)),
}


def live_text(model: NemoModel, detector: SpeechDetector, audio: Samples) -> str:
    """Return the deltas of a session that gets audio in appends of 0.2 s and commits nothing, joined."""
    harness: SessionHarness = manual_client(
        step=lambda work: model.advance(model.collate_steps([work.step]))[0],
        new_speech_stream=detector.new_stream,
        windowing=Windowing.from_settings(Settings()),
    )
    for start in range(0, len(audio), 3200):
        harness.send(append(audio[start : start + 3200]))
        harness.run_all(0.24)
    return "".join(event["delta"] for event in harness.received if "delta" in event)


@pytest.mark.parametrize("sound", SOUNDS)
def test_live_text_shows_no_words_that_nobody_speaks(tiny, monkeypatch, sound):
    audio, detector = SOUNDS[sound].astype(np.float32), SpeechDetector()
    assert not run_detection(detector.has_speech(audio, MIN_SPEECH_S)), "the final text is empty"
    assert live_text(tiny, detector, audio) == ""
    monkeypatch.setattr(Session, "_may_show", lambda *_: True)
    assert live_text(tiny, detector, audio) != "", "the model invents some"


@pytest.mark.parametrize("name", ["fsdd-theo-2", "asterisk-allison-1", "piper-joe-1"])
def test_few_words_that_somebody_speaks_are_shown_as_soon_as_without_that(tiny, monkeypatch, name):
    audio, detector = clip(name), SpeechDetector()
    shown = live_text(tiny, detector, audio)
    monkeypatch.setattr(Session, "_may_show", lambda *_: True)
    assert shown == live_text(tiny, detector, audio) != ""
