"""What a request may say about its speakers."""

from src.diarization.diarizer import SpeakerOptions
from src.settings import Settings


def test_a_request_that_says_nothing_gets_as_many_speakers_as_the_settings_allow_by_default():
    options = SpeakerOptions()
    assert (options.num_speakers, options.known) == (None, ())
    assert options.max_speakers == Settings(_env_file=None).max_speakers
