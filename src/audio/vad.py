"""Voice activity detection: the probability of speech in each frame, and the spans of speech."""

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
"""Audio that must follow a frame before the detector gets the frame, 4 s. So noise shortly before speech is not raised:
the detector would get used to it and wake late."""
RECHECK_PAUSE_S = 0.5
"""In a pause of this length, the detector may have missed quiet speech: its faint parts are checked again."""
MIN_RECHECK_FRAMES = 8
"""A shorter faint part, 0.26 s, is the end of a sound, and is not checked again."""
FIRST_BLOCK_FRAMES = 32
"""The first block of a detection that may end early, 1 s. The next one is `BLOCK_GROWTH` times as long, and so on:
people usually speak at once, and small blocks cost more per frame."""
BLOCK_GROWTH = 4
BLOCK_FRAMES = 1024
"""Frames per call of the network, of all streams together: 33 s, with 13 MB of intermediate values."""

SPEECH_THRESHOLD = 0.5
"""Speech begins with a frame of at least this probability (`threshold` of Silero's `get_speech_timestamps`)."""
PAUSE_THRESHOLD = 0.35
"""Speech ends with a frame below this probability (`neg_threshold`)."""
MIN_PAUSE_S = 0.1
"""Shorter pauses belong to the speech around them (`min_silence_duration_ms`)."""


Probabilities = NDArray[np.float32]
"""The probability of speech in each frame (frames,), 0 to 1."""
Result = TypeVar("Result")


class Span(NamedTuple):
    """A stretch of audio, in seconds from its start."""

    start_s: float
    end_s: float


class ProbabilityStream(Protocol):
    """Gives the probability of speech of one audio stream after gain control, such as `SpeechStream`."""

    def feed(self, samples: Samples) -> Probabilities:
        """Add whole frames (samples,), and return the probability of speech in each (frames,)."""


class SpeechDetector:
    """The speech detector. Its network is loaded once, when first needed. Any number of threads may use it."""

    def __init__(self) -> None:
        self._loading = threading.Lock()  # otherwise several threads at the start would each load a network
        self._network: Silero | None = None

    def load(self) -> None:
        """Load the network now, which takes a while. Otherwise the first that needs it does so."""
        self._loaded_network()

    def probabilities(self, samples: Samples) -> Probabilities:
        """Return the probability of speech in each 32 ms frame of 16 kHz samples (samples,): (frames,).

        The last frame is padded with zeros.
        """
        stream = self.new_stream()
        return np.concatenate([stream.feed(samples), stream.finish()])

    def spans(self, samples: Samples) -> "Detection[tuple[Span, ...]]":
        """Detect the spans of speech in 16 kHz samples (samples,), in order, also quiet speech beside loud."""
        return SpeechAnalyzer(self.new_stream).detect_spans(samples)

    def has_speech(self, samples: Samples, min_s: float) -> "Detection[bool]":
        """Detect whether a span of speech in 16 kHz samples (samples,) lasts `min_s` seconds, and stop at the first."""
        return SpeechAnalyzer(self.new_stream).detect_speech(samples, min_s)

    def new_stream(self) -> "SpeechStream":
        """Return a new stream, which gives the probabilities of audio that comes in parts."""
        return SpeechStream(self)

    def feed_many(self, streams: Sequence["SpeechStream"], parts: Sequence[Samples]) -> list[Probabilities]:
        """Feed each stream its part of audio, and return the result of `SpeechStream.feed` for each.

        The network processes all streams in one call. If this raises, no stream has changed.
        """
        held = [np.concatenate([stream.held, part]) for stream, part in zip(streams, parts, strict=True)]
        windows = [_windows(each) for each in held]
        states = [stream.state for stream in streams]
        results = [np.empty(len(each), np.float32) for each in windows]
        start = 0
        while unfinished := [index for index, each in enumerate(windows) if len(each) > start]:
            end = start + max(1, BLOCK_FRAMES // len(unfinished))
            blocks = [windows[index][start:end] for index in unfinished]
            outputs = self._loaded_network().run(blocks, [states[index] for index in unfinished])
            for index, (probabilities, state) in zip(unfinished, outputs, strict=True):
                results[index][start:end], states[index] = probabilities, state
            start = end
        for index, stream in enumerate(streams):
            stream.held, stream.state = held[index][len(results[index]) * FRAME_SAMPLES :].copy(), states[index]
        return results

    def feed_each(self, streams: Sequence["SpeechStream"], parts: Sequence[Samples]) -> list[Probabilities | Exception]:
        """Feed each stream its part of audio as `feed_many` does. If a stream fails, its result is the error."""
        try:
            return [*self.feed_many(streams, parts)]
        except Exception:
            return [_fed(stream, part) for stream, part in zip(streams, parts, strict=True)]

    def _loaded_network(self) -> Silero:
        with self._loading:
            if self._network is None:
                self._network = Silero()
            return self._network


def _windows(samples: Samples) -> NDArray[np.float32]:
    """Return each frame together with the context before it (frames, 576), given samples that begin with a context."""
    frames = max(0, len(samples) - CONTEXT_SAMPLES) // FRAME_SAMPLES
    # A tenth of the time of `sliding_window_view`, which a few frames of a live stream would feel.
    shape, strides = (frames, CONTEXT_SAMPLES + FRAME_SAMPLES), (FRAME_SAMPLES * samples.itemsize, samples.itemsize)
    return np.ndarray(shape, samples.dtype, samples, strides=strides)


def _fed(stream: "SpeechStream", samples: Samples) -> Probabilities | Exception:
    try:
        return stream.feed(samples)
    except Exception as error:
        return error


class SpeechStream:
    """The detector's state for one audio stream. One thread at a time may use it.

    Attributes:
        held: the samples of the next frame's context, and those of the frame that have arrived.
        state: the network's state after the last frame; None at the start.
    """

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self.held = np.zeros(CONTEXT_SAMPLES, np.float32)
        self.state: State | None = None

    def feed(self, samples: Samples) -> Probabilities:
        """Add any number of 16 kHz samples (samples,), and return the probabilities of the frames that are complete."""
        return self._detector.feed_many([self], [samples])[0]

    def finish(self) -> Probabilities:
        """Return the probability of the incomplete last frame, padded with zeros: (1,), or (0,) if there is none."""
        missing = -(len(self.held) - CONTEXT_SAMPLES) % FRAME_SAMPLES
        return self.feed(np.zeros(missing, np.float32))


class DetectionRequest(NamedTuple):
    """The next audio of a stream that a detection needs the probabilities of."""

    stream: SpeechStream
    samples: Samples


Detection = Generator[DetectionRequest, Probabilities, Result]
"""A detection in steps: it yields each request, is sent the probabilities for it, and returns its result.

`run_detection` runs one by itself; a `MicroBatcher` runs many together, in one call of the network per step.
"""


def run_detection(detection: Detection[Result]) -> Result:
    """Run a detection by itself, and return its result."""
    try:
        request = next(detection)
        while True:
            request = detection.send(request.stream.feed(request.samples))
    except StopIteration as end:
        result: Result = end.value
        return result


class SpeechAnalyzer:
    """Finds the spans of speech in audio that grows at its end and is cut at its start.

    A frame reaches the detector `LOOKAHEAD_S` late, because its gain depends on what follows. A stretch far quieter
    than its surroundings is checked again by itself: the detector may have missed speech there.

    Args:
        new_stream: makes a new stream of the speech detector.
    """

    def __init__(self, new_stream: Callable[[], SpeechStream]) -> None:
        self._new_stream = new_stream
        self._stream = new_stream()
        self._gain = GainControl(LOOKAHEAD_FRAMES)
        self._partial_frame = np.empty(0, np.float32)
        self._probabilities = np.empty(0, np.float32)
        self._faint = np.empty(0, np.bool_)

    def feed(self, samples: Samples) -> None:
        """Add 16 kHz audio (samples,)."""
        run_detection(self._process(self._levelled(samples)))

    def finish(self) -> None:
        """Process the audio to its last sample; nothing follows. An incomplete frame is padded with zeros."""
        run_detection(self._process([self._last_levelled()]))

    def spans(self, samples: Samples, min_pause_s: float) -> tuple[Span, ...]:
        """Return the spans of speech so far.

        Args:
            samples: the samples (samples,) that were fed and not dropped; later ones may follow.
            min_pause_s: the faint parts of pauses of at least this length are checked again.
        """
        return run_detection(self._checked_spans(samples, min_pause_s))

    def detect_spans(self, samples: Samples) -> Detection[tuple[Span, ...]]:
        """Detect the spans of speech in 16 kHz audio (samples,) that is complete."""
        yield from self._process(self._all_levelled(samples))
        return (yield from self._checked_spans(samples, RECHECK_PAUSE_S))

    def detect_speech(self, samples: Samples, min_s: float) -> Detection[bool]:
        """Detect whether 16 kHz audio (samples,) that is complete has a span of speech of `min_s` seconds.

        Later audio can only make a span longer, so the detection ends at the first span that is long enough.
        """
        block = FIRST_BLOCK_FRAMES
        for levelled in self._all_levelled(samples):
            start = 0
            while start < len(levelled.frames):
                part = LevelledFrames(levelled.frames[start : start + block], levelled.faint[start : start + block])
                yield from self._process([part])
                if speech_spans(self._probabilities, min_speech_s=min_s):
                    return True
                start, block = start + block, min(BLOCK_GROWTH * block, BLOCK_FRAMES)
        spans = yield from self._checked_spans(samples, RECHECK_PAUSE_S)
        return any(span.end_s - span.start_s >= min_s for span in spans)

    def drop(self, frames: int) -> None:
        """Drop the first `frames` frames."""
        self._probabilities, self._faint = self._probabilities[frames:], self._faint[frames:]

    def _levelled(self, samples: Samples) -> Iterator[LevelledFrames]:
        """Add samples to the gain control, and yield the frames that are ready."""
        fed = np.concatenate([self._partial_frame, samples])
        whole = len(fed) // FRAME_SAMPLES * FRAME_SAMPLES
        self._partial_frame = fed[whole:].copy()
        block = BLOCK_FRAMES * FRAME_SAMPLES
        for start in range(0, whole, block):
            yield self._gain.apply(fed[start : min(start + block, whole)])

    def _last_levelled(self) -> LevelledFrames:
        """Return the remaining frames at the end of the audio."""
        padding = -len(self._partial_frame) % FRAME_SAMPLES
        return self._gain.apply(np.pad(self._partial_frame, (0, padding)), last=True)

    def _all_levelled(self, samples: Samples) -> Iterator[LevelledFrames]:
        """Yield all frames of complete audio."""
        yield from self._levelled(samples)
        yield self._last_levelled()

    def _process(self, parts: Iterable[LevelledFrames]) -> Detection[None]:
        """Get the probabilities of frames from the detector."""
        for levelled in parts:
            probabilities = yield DetectionRequest(self._stream, levelled.frames.ravel())
            self._probabilities = np.concatenate([self._probabilities, probabilities])
            self._faint = np.concatenate([self._faint, levelled.faint])

    def _checked_spans(self, samples: Samples, min_pause_s: float) -> Detection[tuple[Span, ...]]:
        """Check the faint parts of long pauses again, and return the spans."""
        for start, end in _runs(~_is_speech(self._probabilities)):
            if (end - start) * FRAME_S >= min_pause_s:
                for first, last in _runs(_without_short_gaps(self._faint[start:end])):
                    if last - first >= MIN_RECHECK_FRAMES:
                        yield from self._recheck(samples, start + first, start + last)
        return speech_spans(self._probabilities)

    def _recheck(self, samples: Samples, start: int, end: int) -> Detection[None]:
        """Detect speech in frames `start` to `end` by themselves, at their own level."""
        again = SpeechAnalyzer(self._new_stream)
        yield from again._process(again._all_levelled(samples[start * FRAME_SAMPLES : end * FRAME_SAMPLES]))
        self._probabilities[start:end] = np.maximum(self._probabilities[start:end], again._probabilities)
        self._faint[start:end] = False


def speech_spans(probabilities: Probabilities, *, min_speech_s: float = 0.0) -> tuple[Span, ...]:
    """Return the spans of speech, in order, given the probability of each frame (frames,).

    Speech begins when a probability reaches `SPEECH_THRESHOLD`, and ends when it stays below `PAUSE_THRESHOLD` for
    `MIN_PAUSE_S`. Spans shorter than `min_speech_s` are left out.
    """
    spans: list[Span] = []
    for start, end in _runs(_is_speech(probabilities)):
        if spans and (start * FRAME_S - spans[-1].end_s) < MIN_PAUSE_S:
            spans[-1] = Span(spans[-1].start_s, end * FRAME_S)
        else:
            spans.append(Span(start * FRAME_S, end * FRAME_S))
    return tuple(span for span in spans if span.end_s - span.start_s >= min_speech_s)


def _is_speech(probabilities: Probabilities) -> NDArray[np.bool_]:
    """Return for each frame whether it is speech (frames,). Between the thresholds, a frame is like the one before."""
    clear = (probabilities >= SPEECH_THRESHOLD) | (probabilities < PAUSE_THRESHOLD)
    latest_clear = np.maximum.accumulate(np.where(clear, np.arange(len(probabilities)), 0))
    is_speech: NDArray[np.bool_] = probabilities[latest_clear] >= SPEECH_THRESHOLD
    return is_speech


def _without_short_gaps(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return flags with the gaps filled that are as short as a transient sound."""
    filled = flags.copy()
    for start, end in _runs(~flags):
        if start > 0 and end < len(flags) and end - start <= TRANSIENT_FRAMES:
            filled[start:end] = True
    return filled


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and the end (exclusive) of each run of true flags."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
