"""When live text may be an invention, and when the speech detector is asked."""

import numpy as np
import pytest
from made_transcripts import spoken

from src.realtime.doubtful_text import Doubt, is_doubtful
from src.text.transcript import Transcript

LOUD, QUIET = np.full(16_000, 0.3, np.float32), np.full(16_000, 0.01, np.float32)
SHORT, LONG = (
    Transcript(made.text, tuple(token._replace(logprob=-0.05) for token in made.tokens))
    for made in (spoken("Three."), spoken("Three and four are sev|en."))
)
UNSURE = spoken("Three and four are sev|en.")


class Detector:
    """A detector that hears what the test says, and counts how often it is asked."""

    def __init__(self, hears: bool) -> None:
        self.hears = hears
        self.asked = 0

    def __call__(self, samples: np.ndarray) -> bool:
        self.asked += 1
        return self.hears


@pytest.mark.parametrize(
    ("made", "audio", "expected"),
    [(SHORT, LOUD, True), (LONG, LOUD, False), (LONG, QUIET, True), (UNSURE, LOUD, True)],
    ids=["few words", "many sure words", "quiet", "unsure"],
)
def test_few_or_unsure_words_and_quiet_audio_are_doubtful(made, audio, expected):
    assert is_doubtful(made.text, made.tokens, audio) == expected


def test_words_of_which_nothing_is_decoded_yet_are_doubtful():
    assert is_doubtful(LONG.text, (), LOUD)


def test_the_detector_is_asked_once_for_each_new_text_until_it_hears_speech():
    doubt, detector = Doubt(), Detector(hears=False)
    assert not doubt.allows("Three.", SHORT.tokens, LOUD, detector)
    assert not doubt.allows("Three.", SHORT.tokens, LOUD, detector)
    assert detector.asked == 1
    detector.hears = True
    assert doubt.allows("Three. Four", SHORT.tokens, LOUD, detector)
    assert doubt.allows("Three. Four, five", SHORT.tokens, LOUD, detector)
    assert detector.asked == 2


def test_nothing_is_asked_about_no_text():
    doubt, detector = Doubt(), Detector(hears=True)
    assert not doubt.allows("", (), LOUD, detector)
    assert not doubt.allows(" ", (), LOUD, detector)
    assert detector.asked == 0


def test_many_sure_words_are_shown_without_it():
    detector = Detector(hears=False)
    assert Doubt().allows(LONG.text, LONG.tokens, LOUD, detector)
    assert detector.asked == 0
