"""The diarizer that the settings name."""

import numpy as np

from src.audio.vad import SpeechDetector
from src.diarization.diarizer import SpeakerOptions
from src.diarization.factory import diarizer_of
from src.settings import Settings
from src.text.words import Word


def test_all_of_a_recording_is_one_speakers():
    recording = diarizer_of(Settings(), SpeechDetector()).recording(SpeakerOptions())
    recording.add(np.zeros(16_000, np.float32), 0.0)
    words = [Word("yes", "yes", start_s, start_s + 0.2, -0.1, ()) for start_s in (0.0, 0.4)]
    assert recording.label(words) == recording.label_next(words) == ("A", "A")
