"""The diarizer that the settings name."""

from collections.abc import Sequence

from src.audio.samples import Samples
from src.audio.vad import SpeechDetector
from src.diarization.diarizer import Diarization, Diarizer, SpeakerOptions
from src.settings import Settings
from src.text.words import Word


def diarizer_of(settings: Settings, detector: SpeechDetector) -> Diarizer:
    """Return what tells speakers apart. Until there is a network for it, all of a recording is one speaker's."""
    return _OneSpeaker()


class _OneSpeaker:
    """Takes all for one speaker's, whom it never hears."""

    def check(self) -> None:
        """Nothing is missing."""

    def load(self) -> None:
        """Nothing is to be loaded."""

    def recording(self, options: SpeakerOptions) -> Diarization:
        return self

    def add(self, samples: Samples, start_s: float) -> None:
        """Ignore audio."""

    def label(self, words: Sequence[Word]) -> tuple[str, ...]:
        return ("A",) * len(words)

    def label_next(self, words: Sequence[Word]) -> tuple[str, ...]:
        return self.label(words)

    def stop(self) -> None:
        """Nothing runs."""
