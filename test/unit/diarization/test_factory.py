"""The settings name the diarizer, and it loads nothing until it is needed."""

import pytest

from src.audio.vad import SpeechDetector
from src.diarization.factory import diarizer_of
from src.diarization.sortformer_diarizer import SortformerDiarizer
from src.diarization.voice_diarizer import VoiceDiarizer
from src.errors import SpeakersUnavailable
from src.settings import Settings


def test_the_default_is_the_voice_encoder_and_any_other_name_a_sortformer():
    assert isinstance(diarizer_of(Settings(), SpeechDetector()), VoiceDiarizer)
    assert isinstance(diarizer_of(Settings(diarizer="owner/name"), SpeechDetector()), SortformerDiarizer)


def test_the_default_is_there():
    diarizer_of(Settings(), SpeechDetector()).check()


def test_a_sortformer_that_is_not_there_is_said_in_one_sentence_when_it_is_needed():
    diarizer = diarizer_of(Settings(diarizer="/nowhere/sortformer", device="cpu"), SpeechDetector())
    diarizer.check()
    with pytest.raises(SpeakersUnavailable, match="PARAKEET_DIARIZER=/nowhere/sortformer is not there"):
        diarizer.load()
