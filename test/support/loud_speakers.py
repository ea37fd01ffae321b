"""A diarizer for tests of what is around it: it tells speakers apart by how loud they are."""

import threading
from collections.abc import Sequence

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.diarization.diarizer import SpeakerOptions
from src.text.words import Word


class LoudDiarization:
    """Takes each loudness, in tenths, for a speaker: a known one's, or the next letter.

    Attributes:
        options: what was asked for.
        parts: start and end, in seconds, of each part that was heard.
        calls: the methods that were called to label words, in order.
        stopped: set once it was stopped.
    """

    def __init__(self, options: SpeakerOptions, error: Exception | None = None) -> None:
        self.options = options
        self.parts: list[tuple[float, float]] = []
        self.calls: list[str] = []
        self.stopped = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self._error = error
        self._audio: list[tuple[float, Samples]] = []
        self._names = {_loudness(each.samples): each.name for each in options.known}
        self._letters = iter("ABCDEFGH")

    def add(self, samples: Samples, start_s: float) -> None:
        while not self.free.wait(0.01) and not self.stopped.is_set():
            pass
        if self._error:
            raise self._error
        assert not self.parts or start_s >= self.parts[-1][1] - 1e-6
        self.parts.append((start_s, start_s + len(samples) / SAMPLE_RATE))
        self._audio.append((start_s, samples))

    def label(self, words: Sequence[Word]) -> tuple[str, ...]:
        self.calls.append("label")
        return tuple(map(self._speaker, words))

    def label_next(self, words: Sequence[Word]) -> tuple[str, ...]:
        self.calls.append("label_next")
        return tuple(map(self._speaker, words))

    def stop(self) -> None:
        self.stopped.set()

    def _speaker(self, word: Word) -> str:
        middle_s = (word.start_s + word.end_s) / 2
        start_s, samples = next(each for each in reversed(self._audio) if each[0] <= middle_s)
        at = round((middle_s - start_s) * SAMPLE_RATE)
        assert at < len(samples), "the audio of a word was heard before the word is labelled"
        loudness = _loudness(samples[at : at + 1])
        return self._names.setdefault(loudness, next(self._letters) if loudness not in self._names else "")


class LoudDiarizer:
    """Makes such diarizations, and keeps them in `made`."""

    def __init__(self, *, unavailable: Exception | None = None, error: Exception | None = None) -> None:
        self.made: list[LoudDiarization] = []
        self._unavailable = unavailable
        self._error = error

    def check(self) -> None:
        if self._unavailable:
            raise self._unavailable

    def load(self) -> None:
        self.check()

    def recording(self, options: SpeakerOptions) -> LoudDiarization:
        self.made.append(LoudDiarization(options, self._error))
        return self.made[-1]


def _loudness(samples: Samples) -> int:
    return round(10 * float(np.abs(samples).max(initial=0)))
