"""Where somebody speaks: the voice activity detector's probabilities, and spans of speech made of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.decode import SAMPLE_RATE
from src.audio.silero import CONTEXT_SAMPLES, FRAME_SAMPLES, Silero, State

Samples = NDArray[np.float32]

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
BLOCK_FRAMES = 1024
"""Frames done in one pass: 33 s, with 10 MB of intermediate values."""

SPEECH = 0.5
"""Speech begins with a frame of at least this probability (`threshold` of Silero's `get_speech_timestamps`)."""
PAUSE = 0.35
"""Speech ends with a frame below this one (`neg_threshold`)."""
MIN_PAUSE_S = 0.1
"""Shorter pauses belong to the speech around them (`min_silence_duration_ms`)."""

LEVEL = 0.5
"""The loudest sample is brought to this: the detector misses speech whose peaks are below 0.003, and no noise that was
tried (white, pink, brown, hum, clicks, tones) passes for speech for being loud."""
FAINTEST = 1e-3
"""Audio whose loudest sample is fainter is not raised as far: 16-bit audio has 5 bits left there."""


class Span(NamedTuple):
    """A stretch of audio, in seconds from its start."""

    start_s: float
    end_s: float


class SpeechDetector:
    """The network, read once; any number of threads may use it."""

    def __init__(self) -> None:
        self._network = Silero()

    def probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """Return how likely each 32 ms of 16 kHz samples (samples,) is speech: (frames,), 0 to 1.

        The last frame is filled up with zeros.
        """
        stream = self.stream()
        return np.concatenate([stream.feed(samples), stream.finish()])

    def spans(self, samples: Samples) -> tuple[Span, ...]:
        """Return where somebody speaks in 16 kHz samples (samples,), however quietly, in order."""
        return speech_spans(self.probabilities(samples * gain(peak(samples))))

    def stream(self) -> "SpeechStream":
        """Return what gives the probabilities of audio that comes in pieces."""
        return SpeechStream(self._network)


class SpeechStream:
    """The detector's memory of one stream of audio. One thread at a time may use it."""

    def __init__(self, network: Silero) -> None:
        self._network = network
        self._state: State | None = None
        self._held = np.zeros(CONTEXT_SAMPLES, np.float32)

    def feed(self, samples: Samples) -> NDArray[np.float32]:
        """Return the probabilities of the frames that `samples`, 16 kHz of any number, complete: (frames,)."""
        held = np.concatenate([self._held, samples])
        frames = (len(held) - CONTEXT_SAMPLES) // FRAME_SAMPLES
        self._held = held[frames * FRAME_SAMPLES :].copy()
        probabilities = np.empty(frames, np.float32)
        if not frames:
            return probabilities
        windows = np.lib.stride_tricks.sliding_window_view(held, CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]
        for start in range(0, frames, BLOCK_FRAMES):
            block = windows[start : min(start + BLOCK_FRAMES, frames)]
            probabilities[start : start + len(block)], self._state = self._network.run(block, self._state)
        return probabilities

    def finish(self) -> NDArray[np.float32]:
        """Return the probability of the incomplete frame at the end, if there is one: (0,) or (1,)."""
        missing = -(len(self._held) - CONTEXT_SAMPLES) % FRAME_SAMPLES
        return self.feed(np.zeros(missing, np.float32))


def peak(samples: Samples) -> float:
    """Return the largest magnitude among samples, 0 if there are none."""
    return float(np.abs(samples).max(initial=0))


def gain(loudest: float) -> np.float32:
    """Return what to multiply samples with for the detector, given the largest magnitude among them."""
    return np.float32(LEVEL / max(loudest, FAINTEST))


def speech_spans(probabilities: NDArray[np.float32], *, min_speech_s: float = 0.0) -> tuple[Span, ...]:
    """Return where speech begins and ends, in order, given the probability of each frame (frames,).

    Speech begins where a probability reaches `SPEECH` and lasts until one falls below `PAUSE` for `MIN_PAUSE_S`.
    Stretches shorter than `min_speech_s` are left out.
    """
    spans: list[Span] = []
    for start, end in _runs(_speaking(probabilities)):
        if spans and (start * FRAME_S - spans[-1].end_s) < MIN_PAUSE_S:
            spans[-1] = Span(spans[-1].start_s, end * FRAME_S)
        else:
            spans.append(Span(start * FRAME_S, end * FRAME_S))
    return tuple(span for span in spans if span.end_s - span.start_s >= min_speech_s)


def _speaking(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for each frame whether it is speech; one between the thresholds is what the frame before it is."""
    clear = (probabilities >= SPEECH) | (probabilities < PAUSE)
    latest = np.maximum.accumulate(np.where(clear, np.arange(len(probabilities)), 0))
    speaking: NDArray[np.bool_] = probabilities[latest] >= SPEECH
    return speaking


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and the one-past-last index of each run of true flags."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
