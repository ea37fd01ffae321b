"""The diarizer that runs a NeMo Sortformer, which has speakers of its own and needs no clustering."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import Samples
from src.diarization.clusters import Labels
from src.diarization.diarizer import KEPT_S, SpeakerOptions
from src.diarization.speaker_names import SpeakerNames
from src.diarization.word_speakers import best_speakers
from src.engine.sortformer import Activities, Sortformer
from src.errors import InvalidRequest
from src.text.words import Word

TALKS = 0.5
"""Somebody talks in a frame from this probability on."""
NAMED = "known_speaker_references"


class SortformerDiarizer:
    """Tells speakers apart with a Sortformer; see `Diarizer`.

    Args:
        load: returns the network.
    """

    def __init__(self, load: Callable[[], Sortformer]) -> None:
        self._load = load
        self._loading = threading.Lock()
        self._network: Sortformer | None = None

    def check(self) -> None:
        """See `Diarizer.check`. Whether its network can be loaded is only known when it is."""

    def load(self) -> None:
        """See `Diarizer.load`."""
        self.network()

    def network(self) -> Sortformer:
        """Return the network, and load it if it is not.

        Raises:
            SpeakersUnavailable: it is not there, or cannot be loaded.
        """
        with self._loading:
            if self._network is None:
                self._network = self._load()
            return self._network

    def recording(self, options: SpeakerOptions) -> "SortformerDiarization":
        """See `Diarizer.recording`."""
        return SortformerDiarization(options, self.network)


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """Frames of audio, and who talks in them."""

    starts_s: NDArray[np.float64]
    """(frames,)"""
    activities: Activities
    """(frames, speakers)"""


class SortformerDiarization:
    """The speakers of a recording or session as a Sortformer tells them apart; see `Diarization`.

    A known speaker is told to the network by its audio, before the recording. It has a speaker fewer for the others.

    Args:
        options: what is known of the speakers.
        network: returns the network.
    """

    def __init__(self, options: SpeakerOptions, network: Callable[[], Sortformer]) -> None:
        self._options = options
        self._get_network = network
        self._network: Sortformer | None = None
        self._state: object = None
        self._stopped = threading.Event()
        self._parts: list[_Frames] = []
        self._names = SpeakerNames([speaker.name for speaker in options.known])
        self._numbers: dict[int, int] = {}
        self._last = len(options.known)

    def add(self, samples: Samples, start_s: float) -> None:
        """See `Diarization.add`."""
        if self._stopped.is_set():
            return
        network = self._network or self._started()
        activities = network.activities(samples, self._state)
        starts_s = start_s + network.frame_s * np.arange(len(activities), dtype=np.float64)
        self._parts.append(_Frames(starts_s, activities))

    def label(self, words: Sequence[Word]) -> tuple[str, ...]:
        """See `Diarization.label`."""
        return self._label(words, self._frames())

    def label_next(self, words: Sequence[Word]) -> tuple[str, ...]:
        """See `Diarization.label_next`."""
        frames = self._frames()
        names = self._label(words, frames)
        if words and frames is not None and len(frames.starts_s):
            recent = frames.starts_s > words[-1].end_s - KEPT_S
            self._parts = [_Frames(frames.starts_s[recent], frames.activities[recent])]
        return names

    def stop(self) -> None:
        """See `Diarization.stop`."""
        self._stopped.set()

    def _started(self) -> Sortformer:
        """Start the recording with the audio of the known speakers, and return the network."""
        network = self._get_network()
        state = network.start()
        for number, speaker in enumerate(self._options.known):
            activities = network.activities(speaker.samples, state)
            column = int(activities.mean(axis=0).argmax()) if len(activities) else -1
            if column < 0 or activities[:, column].max() < TALKS or column in self._numbers:
                self._numbers = {}
                raise InvalidRequest(
                    f"The network does not hear known speaker {number + 1}, {speaker.name!r}, as a speaker of its own. "
                    f"Send 2 to 10 s in which this speaker talks; it tells {network.speakers} speakers apart.",
                    param=NAMED,
                )
            self._numbers[column] = number
        self._network, self._state = network, state
        return network

    def _frames(self) -> _Frames | None:
        if not self._parts:
            return None
        self._parts = [
            _Frames(
                np.concatenate([part.starts_s for part in self._parts]),
                np.concatenate([part.activities for part in self._parts]),
            )
        ]
        return self._parts[0]

    def _label(self, words: Sequence[Word], frames: _Frames | None) -> tuple[str, ...]:
        if frames is None or not len(frames.starts_s) or not len(words):
            return (self._names.name_of(self._last),) * len(words)
        activities = np.stack([_activity(word, frames) for word in words])
        columns = self._allowed(activities)
        labels = columns[best_speakers(words, activities[:, columns])]
        self._last = [self._number(column) for column in labels.tolist()][-1]
        return tuple(self._names.name_of(self._number(column)) for column in labels.tolist())

    def _allowed(self, activities: Activities) -> Labels:
        """Return the network's speakers that words may have: those that had some, and then those that talk most."""
        most = self._options.num_speakers or self._options.max_speakers
        talk = activities.sum(axis=0)
        by_talk = sorted(range(len(talk)), key=lambda column: (column not in self._numbers, -talk[column]))
        kept = max(most, sum(column in self._numbers for column in by_talk))
        return np.sort(np.array(by_talk[:kept], np.int64))

    def _number(self, column: int) -> int:
        """Return the number of a speaker of the network, which says its name; unknown ones get the next."""
        return self._numbers.setdefault(column, len(self._options.known) + len(self._numbers))


def _activity(word: Word, frames: _Frames) -> NDArray[np.float32]:
    """Return how much each speaker talks during a word (speakers,): the mean over its frames, or the nearest frame."""
    first = int(np.searchsorted(frames.starts_s, word.start_s, "right")) - 1
    last = int(np.searchsorted(frames.starts_s, word.end_s))
    first = min(max(first, 0), len(frames.starts_s) - 1)
    mean: NDArray[np.float32] = frames.activities[first : max(first + 1, last)].mean(axis=0)
    return mean
