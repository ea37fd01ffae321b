"""What others see of speaker diarization: audio and words in, the speaker of each word out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from src.audio.samples import Samples
from src.text.words import Word

MAX_SPEAKERS = 8
"""Speakers that are told apart in one recording, if nobody says how many there may be."""
KEPT_S = 5.0
"""How much of what lies before the last word a running diarization keeps: later words may be near to it."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownSpeaker:
    """A speaker whose voice is known."""

    name: str
    samples: Samples
    """Speech of this speaker alone, 2 to 10 s of 16 kHz mono (samples,)."""


@dataclass(frozen=True, slots=True, eq=False)
class SpeakerOptions:
    """What a request says about its speakers."""

    num_speakers: int | None = None
    """How many speakers there are, at least 1; None to find that out."""
    max_speakers: int = MAX_SPEAKERS
    """The most speakers that are told apart if `num_speakers` is None."""
    known: tuple[KnownSpeaker, ...] = ()


class Diarization(Protocol):
    """The speakers of one recording or realtime session. One thread at a time may use it, but for `stop`."""

    def add(self, samples: Samples, start_s: float) -> None:
        """Analyse the next part of the audio, which ends with it as far as this method is concerned.

        Args:
            samples: 16 kHz mono (samples,); they are not kept.
            start_s: the time of the first one in the recording; at least the end of the part before.

        Raises:
            SpeakersUnavailable: the network's weights are missing.
            InvalidRequest: the audio of a known speaker has no speech.
        """

    def label(self, words: Sequence[Word]) -> tuple[str, ...]:
        """Return the speaker of each word of the whole recording, all of whose audio was added.

        A speaker is the name of a known one, else A, B, ... in the order in which they speak.
        """

    def label_next(self, words: Sequence[Word]) -> tuple[str, ...]:
        """Return the speaker of each of the words that follow those of the call before. It stays what it is.

        Args:
            words: final words, whose audio was added.
        """

    def stop(self) -> None:
        """Have the call that runs, and any later one, return early with any result. For any thread."""


class Diarizer(Protocol):
    """Tells speakers apart. Any number of threads may use it."""

    def check(self) -> None:
        """Raise `SpeakersUnavailable` if speakers cannot be told apart here. This loads nothing, and takes no time."""

    def load(self) -> None:
        """Load the network now, which takes a while. Otherwise the first that needs it does so.

        Raises:
            SpeakersUnavailable: it is not there, or cannot be loaded.
        """

    def recording(self, options: SpeakerOptions) -> Diarization:
        """Return the diarization of a new recording or session. This takes no time."""
