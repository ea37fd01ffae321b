"""Where somebody speaks: the voice activity detector's probabilities, and spans of speech made of them."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from src.audio.gain import FRAME_S as FRAME_S
from src.audio.gain import TRANSIENT_FRAMES, GainControl, LevelledFrames
from src.audio.samples import Samples
from src.audio.silero import CONTEXT_SAMPLES, FRAME_SAMPLES, Silero, State

LOOKAHEAD_FRAMES = 127
LOOKAHEAD_S = LOOKAHEAD_FRAMES * FRAME_S
"""What must follow a frame before it is heard, 4 s. Noise is not raised so shortly before speech, as the detector would
get used to it, and wake late."""
AGAIN_PAUSE_S = 0.5
"""A pause in a clip that may be speech which is too quiet beside the rest."""
AGAIN_FRAMES = 8
"""What is faint for less, 0.26 s, is the end of a sound, and is not heard again."""
FIRST_BLOCK_FRAMES = 32
"""Where hearing may end early it does so after these frames, 1 s, or `BLOCK_GROWTH` times as many, and so on: people
speak at once, as a rule, and a pass over few frames costs more for each."""
BLOCK_GROWTH = 4
BLOCK_FRAMES = 1024
"""Frames done in one pass, of all streams together: 33 s, with 10 MB of intermediate values."""

SPEECH = 0.5
"""Speech begins with a frame of at least this probability (`threshold` of Silero's `get_speech_timestamps`)."""
PAUSE = 0.35
"""Speech ends with a frame below this one (`neg_threshold`)."""
MIN_PAUSE_S = 0.1
"""Shorter pauses belong to the speech around them (`min_silence_duration_ms`)."""


Probabilities = NDArray[np.float32]
Result = TypeVar("Result")


class Span(NamedTuple):
    """A stretch of audio, in seconds from its start."""

    start_s: float
    end_s: float


class ProbabilityStream(Protocol):
    """What hears audio that has the level that the detector likes, such as `SpeechStream`."""

    def feed(self, samples: Samples) -> NDArray[np.float32]:
        """Return the probability of speech of each of the whole frames (samples,): (frames,)."""


class SpeechDetector:
    """The network, read once, when it is first needed; any number of threads may use it."""

    def __init__(self) -> None:
        self._loading = threading.Lock()  # else each thread that needs it first would read one, while others overtake
        self._network: Silero | None = None

    def probabilities(self, samples: Samples) -> Probabilities:
        """Return how likely each 32 ms of 16 kHz samples (samples,) is speech: (frames,), 0 to 1.

        The last frame is filled up with zeros.
        """
        stream = self.new_stream()
        return np.concatenate([stream.feed(samples), stream.finish()])

    def spans(self, samples: Samples) -> "Detection[tuple[Span, ...]]":
        """Find out where somebody speaks in 16 kHz samples (samples,), however quietly, in order."""
        return SpeechAnalyzer(self.new_stream).whole(samples)

    def has_speech(self, samples: Samples, least_s: float) -> "Detection[bool]":
        """Find out whether any of the `spans` of 16 kHz samples (samples,) has `least_s` seconds; hear no further."""
        return SpeechAnalyzer(self.new_stream).speech(samples, least_s)

    def new_stream(self) -> "SpeechStream":
        """Return what gives the probabilities of audio that comes in pieces."""
        return SpeechStream(self)

    def feed_many(self, streams: Sequence["SpeechStream"], pieces: Sequence[Samples]) -> list[Probabilities]:
        """Feed each of several streams a piece of its audio, and return what `SpeechStream.feed` returns for each.

        The network does all of them in one call. Where this raises, no stream has changed.
        """
        held = [np.concatenate([stream.held, piece]) for stream, piece in zip(streams, pieces, strict=True)]
        windows = [_windows(each) for each in held]
        states = [stream.state for stream in streams]
        found = [np.empty(len(each), np.float32) for each in windows]
        start = 0
        while going := [number for number, each in enumerate(windows) if len(each) > start]:
            end = start + max(1, BLOCK_FRAMES // len(going))
            blocks = [windows[number][start:end] for number in going]
            done = self._loaded().run(blocks, [states[number] for number in going])
            for number, (probabilities, state) in zip(going, done, strict=True):
                found[number][start:end], states[number] = probabilities, state
            start = end
        for number, stream in enumerate(streams):
            stream.held, stream.state = held[number][len(found[number]) * FRAME_SAMPLES :].copy(), states[number]
        return found

    def _loaded(self) -> Silero:
        with self._loading:
            if self._network is None:
                self._network = Silero()
            return self._network


def _windows(samples: Samples) -> Samples:
    """Return the frames of samples that begin with a context, each with its own: (frames, 576)."""
    if len(samples) < CONTEXT_SAMPLES + FRAME_SAMPLES:
        return np.empty((0, CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
    return np.lib.stride_tricks.sliding_window_view(samples, CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]


class SpeechStream:
    """The detector's memory of one stream of audio. One thread at a time may use it.

    Attributes:
        held: the context of the next frame, and what is there of that frame, as samples.
        state: the network's after the last frame; None at the beginning.
    """

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self.held = np.zeros(CONTEXT_SAMPLES, np.float32)
        self.state: State | None = None

    def feed(self, samples: Samples) -> Probabilities:
        """Return the probabilities of the frames that `samples`, 16 kHz of any number, complete: (frames,)."""
        return self._detector.feed_many([self], [samples])[0]

    def finish(self) -> Probabilities:
        """Return the probability of the incomplete frame at the end, if there is one: (0,) or (1,)."""
        missing = -(len(self.held) - CONTEXT_SAMPLES) % FRAME_SAMPLES
        return self.feed(np.zeros(missing, np.float32))


class DetectionRequest(NamedTuple):
    """Audio that is to be heard next."""

    stream: SpeechStream
    samples: Samples


Detection = Generator[DetectionRequest, Probabilities, Result]
"""A detection in steps: it yields each request, is sent the probabilities for it, and returns its result.

`run_detection` runs one by itself; a `MicroBatcher` runs many together, in one call of the network per step.
"""


def run_detection(listening: Detection[Result]) -> Result:
    """Run it by itself, and return what it has found."""
    try:
        piece = next(listening)
        while True:
            piece = listening.send(piece.stream.feed(piece.samples))
    except StopIteration as end:
        told: Result = end.value
        return told


class SpeechAnalyzer:
    """What is heard in a stretch of audio that grows at its end and is cut at its beginning.

    A frame reaches the detector `LOOKAHEAD_S` late, because its gain depends on what follows. A stretch far quieter
    than its surroundings is checked again by itself: the detector may have missed speech there.

    Args:
        listen: makes a new stream of the speech detector.
    """

    def __init__(self, listen: Callable[[], SpeechStream]) -> None:
        self._listen = listen
        self._stream = listen()
        self._gain = GainControl(LOOKAHEAD_FRAMES)
        self._rest = np.empty(0, np.float32)
        self._probabilities = np.empty(0, np.float32)
        self._faint = np.empty(0, np.bool_)

    def feed(self, samples: Samples) -> None:
        """Hear more 16 kHz audio (samples,)."""
        run_detection(self._hear(self._levelled(samples)))

    def finish(self) -> None:
        """Hear everything to the last sample; nothing follows. An incomplete frame is filled up with zeros."""
        run_detection(self._hear([self._last()]))

    def spans(self, samples: Samples, min_pause_s: float) -> tuple[Span, ...]:
        """Return where somebody speaks, given the samples (samples,) that were heard and not dropped, and maybe more.

        Pauses of at least `min_pause_s`, also those at the beginning and the end, have been heard twice where faint.
        """
        return run_detection(self._spans(samples, min_pause_s))

    def whole(self, samples: Samples) -> Detection[tuple[Span, ...]]:
        """Hear 16 kHz audio (samples,) that is a whole, and return where somebody speaks."""
        yield from self._hear(self._levelled_whole(samples))
        return (yield from self._spans(samples, AGAIN_PAUSE_S))

    def speech(self, samples: Samples, least_s: float) -> Detection[bool]:
        """Hear 16 kHz audio (samples,) that is a whole, and return whether it has speech of `least_s` seconds.

        Speech that has begun only becomes longer by what follows. So hearing may end there.
        """
        block = FIRST_BLOCK_FRAMES
        for levelled in self._levelled_whole(samples):
            start = 0
            while start < len(levelled.frames):
                part = LevelledFrames(levelled.frames[start : start + block], levelled.faint[start : start + block])
                yield from self._hear([part])
                if speech_spans(self._probabilities, min_speech_s=least_s):
                    return True
                start, block = start + block, min(BLOCK_GROWTH * block, BLOCK_FRAMES)
        spans = yield from self._spans(samples, AGAIN_PAUSE_S)
        return any(span.end_s - span.start_s >= least_s for span in spans)

    def _levelled(self, samples: Samples) -> Iterator[LevelledFrames]:
        """Yield what can be heard with these samples."""
        fed = np.concatenate([self._rest, samples])
        whole = len(fed) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = fed[whole:].copy()
        block = BLOCK_FRAMES * FRAME_SAMPLES
        for start in range(0, whole, block):
            yield self._gain.apply(fed[start : min(start + block, whole)])

    def _levelled_whole(self, samples: Samples) -> Iterator[LevelledFrames]:
        """Yield the same, and what follows nothing."""
        yield from self._levelled(samples)
        yield self._last()

    def _last(self) -> LevelledFrames:
        """Return what can be heard as nothing follows."""
        return self._gain.apply(np.pad(self._rest, (0, -len(self._rest) % FRAME_SAMPLES)), last=True)

    def drop(self, frames: int) -> None:
        """Forget so many frames at the beginning."""
        self._probabilities, self._faint = self._probabilities[frames:], self._faint[frames:]

    def _hear(self, parts: Iterable[LevelledFrames]) -> Detection[None]:
        for levelled in parts:
            probabilities = yield DetectionRequest(self._stream, levelled.frames.ravel())
            self._probabilities = np.concatenate([self._probabilities, probabilities])
            self._faint = np.concatenate([self._faint, levelled.faint])

    def _spans(self, samples: Samples, min_pause_s: float) -> Detection[tuple[Span, ...]]:
        for start, end in _runs(~_speaking(self._probabilities)):
            if (end - start) * FRAME_S >= min_pause_s:
                for first, last in _runs(_bridged(self._faint[start:end])):
                    if last - first >= AGAIN_FRAMES:
                        yield from self._hear_again(samples, start + first, start + last)
        return speech_spans(self._probabilities)

    def _hear_again(self, samples: Samples, start: int, end: int) -> Detection[None]:
        again = SpeechAnalyzer(self._listen)
        yield from again._hear(again._levelled_whole(samples[start * FRAME_SAMPLES : end * FRAME_SAMPLES]))
        self._probabilities[start:end] = np.maximum(self._probabilities[start:end], again._probabilities)
        self._faint[start:end] = False


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


def _bridged(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return flags with those gaps filled that a passing sound makes."""
    filled = flags.copy()
    for start, end in _runs(~flags):
        if start > 0 and end < len(flags) and end - start <= TRANSIENT_FRAMES:
            filled[start:end] = True
    return filled


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and the one-past-last index of each run of true flags."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
