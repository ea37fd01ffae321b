"""When somebody begins and ends to speak, in a stream of audio. The only clock is the number of samples at 16 kHz.

The speech detector says how likely each frame of 32 ms is speech; a turn opens and closes by that, as in OpenAI's
`server_vad`. Whoever feeds the audio decides what becomes of a turn, and says what it has taken: no later turn reaches
back behind that.

How audio is cut makes no difference but one: the detector's probabilities then differ by up to 1e-5.
"""

from dataclasses import dataclass

import numpy as np

from src.audio.gain import GainControl
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import ProbabilityStream

MIN_FRAMES = 2
"""Frames of speech in a row that open a turn. One would do for clicks, keys, claps, hiss and hum, none of which the
detector takes for speech; two open 25 turns where one opens 88, among knocks, dialling tones and hummed notes. Neither
two nor four lose a word of the bundled clips, or a turn at a hundredth of their level; each costs 32 ms."""
HYSTERESIS = 0.15
"""How far below the threshold of speech that of a pause is (`neg_threshold` of Silero's `get_speech_timestamps`)."""
LOWEST = 0.01
"""The lowest threshold of a pause (ditto)."""


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """What makes a turn; names and defaults are those of OpenAI's `server_vad`."""

    threshold: float = 0.5
    """A frame of at least this probability is speech."""
    prefix_padding_ms: int = 300
    """What a turn includes from before its speech."""
    silence_duration_ms: int = 500
    """The pause that ends a turn, which includes it."""
    idle_timeout_ms: int | None = None
    """After so much audio without a turn there is a timeout; None: never."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn is open; it begins at sample `at`, which includes the padding."""

    at: int


@dataclass(frozen=True, slots=True)
class TurnStopped:
    """The open turn is over; it ends at sample `at`, which includes the pause."""

    at: int


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """Nobody spoke from sample `start` to sample `end`."""

    start: int
    end: int


TurnEvent = TurnStarted | TurnStopped | IdleTimeout


class TurnDetector:
    """Finds the turns in one stream of audio. One thread at a time may use it.

    `detection` may be replaced at any time; the new one holds for what is fed from then on, also for an open turn.

    Args:
        detection: what makes a turn.
        stream: hears the audio; a new one.
        start: the session's clock at the first sample to be fed, in samples.
    """

    def __init__(self, detection: TurnDetection, stream: ProbabilityStream, start: int = 0) -> None:
        self.detection = detection
        self.reset(stream, start)

    def reset(self, stream: ProbabilityStream, start: int) -> None:
        """Begin anew at sample `start`, with a new stream and no memory of what was heard (a clear)."""
        self._stream = stream
        self._gain = GainControl()
        self._held = np.empty(0, np.float32)
        self._clock = start  # the end of the last frame that was heard
        self.take(start)

    def take(self, until: int) -> None:
        """Note that all audio before sample `until` is taken (a manual commit), at most what has been fed.

        An open turn is over, without an event. Where its speech goes on, that is a new turn from `until`.
        """
        self._taken = until
        self._began: int | None = None
        self._run = 0  # frames of speech in a row, while no turn is open

    @property
    def began(self) -> int | None:
        """The sample at which the open turn begins; None where none is open."""
        return self._began

    @property
    def keep_from(self) -> int:
        """The first sample that an event to come can name, unless `detection` changes; all before it may be dropped."""
        if self._began is not None:
            return self._began
        if self.detection.idle_timeout_ms is not None:
            return self._taken
        return self._padded(self._clock)

    def feed(self, samples: Samples) -> list[TurnEvent]:
        """Return what happens in more 16 kHz audio (samples,), in order. Full scale is 1."""
        held = np.concatenate([self._held, samples])
        whole = len(held) // FRAME_SAMPLES * FRAME_SAMPLES
        self._held = held[whole:].copy()
        if not whole:
            return []
        levelled, _ = self._gain.apply(held[:whole])
        probabilities = self._stream.feed(levelled.ravel()).tolist()
        return [event for event in map(self._heard, probabilities) if event]

    def _heard(self, probability: float) -> TurnEvent | None:
        """Return what happens in the next frame."""
        self._clock += FRAME_SAMPLES
        if self._began is None:
            return self._start(probability) or self._time_out()
        return self._stop(probability)

    def _start(self, probability: float) -> TurnStarted | None:
        self._run = self._run + 1 if probability >= self.detection.threshold else 0
        if self._run < MIN_FRAMES:
            return None
        self._began = self._padded(self._clock)
        self._speech_end = self._clock
        return TurnStarted(self._began)

    def _time_out(self) -> IdleTimeout | None:
        if self.detection.idle_timeout_ms is None or self._run:
            return None
        timeout = IdleTimeout(self._taken, self._taken + _samples(self.detection.idle_timeout_ms))
        if self._clock < timeout.end:
            return None
        self.take(timeout.end)
        return timeout

    def _stop(self, probability: float) -> TurnStopped | None:
        if probability >= max(self.detection.threshold - HYSTERESIS, LOWEST):
            self._speech_end = self._clock
            return None
        end = self._speech_end + _samples(self.detection.silence_duration_ms)
        if self._clock < end:
            return None
        self.take(end)
        return TurnStopped(end)

    def _padded(self, now: int) -> int:
        """Return where a turn begins whose speech is, up to sample `now`, the current run."""
        onset = now - self._run * FRAME_SAMPLES
        return max(self._taken, onset - _samples(self.detection.prefix_padding_ms))


def _samples(time_ms: int) -> int:
    return time_ms * SAMPLE_RATE // 1000
