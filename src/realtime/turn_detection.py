"""Turn detection in a stream of audio. The only clock is the number of samples at 16 kHz.

The speech detector gives each frame of 32 ms a probability of speech. A turn opens and closes by these, as in OpenAI's
`server_vad`. The caller decides what becomes of a turn and marks audio as committed; no later turn begins before that.

How the audio is cut changes nothing but the detector's probabilities, by up to 1e-5.
"""

from dataclasses import dataclass

import numpy as np

from src.audio.gain import GainControl
from src.audio.live_frames import LiveFrames
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import Probabilities, ProbabilityStream

MIN_FRAMES = 2
"""Frames of speech in a row that open a turn.

One frame is enough for clicks, keys, claps, hiss and hum, none of which the detector takes for speech. Among knocks,
dialling tones and hummed notes, two frames open 25 turns and one frame opens 88. Neither two nor four frames lose a
word of the bundled clips, or a turn at a hundredth of their level. Each frame delays a turn by 32 ms.
"""
HYSTERESIS = 0.15
"""How far the threshold of a pause lies below that of speech (`neg_threshold` of Silero's `get_speech_timestamps`)."""
MIN_PAUSE_THRESHOLD = 0.01
"""The lowest threshold of a pause (ditto)."""


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """The settings of turn detection, with the names and defaults of OpenAI's `server_vad`."""

    threshold: float = 0.5
    """A frame of at least this probability is speech."""
    prefix_padding_ms: int = 300
    """Audio before the speech that the turn includes."""
    silence_duration_ms: int = 500
    """The pause that ends a turn. The turn includes it."""
    idle_timeout_ms: int | None = None
    """Audio without a turn after which there is a timeout; None: never."""
    sentence_pause_ms: int | None = None
    """The shorter pause that ends a turn whose text ends a sentence, as the caller knows; None: it makes no difference.
    The turn includes that much of it."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn has opened. It begins at sample `at`, padding included."""

    at: int


@dataclass(frozen=True, slots=True)
class TurnStopped:
    """The open turn has closed. It ends at sample `at`, pause included."""

    at: int


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """Nobody has spoken from sample `start` to sample `end`."""

    start: int
    end: int


TurnEvent = TurnStarted | TurnStopped | IdleTimeout


class TurnDetector:
    """Detects the turns in one stream of audio. One thread at a time may use it.

    `detection` may be replaced at any time. The new settings hold for the audio fed from then on, in an open turn too.

    Args:
        detection: the settings.
        stream: a new stream of the speech detector.
        start: the session's clock, in samples, at the first sample to be fed.
    """

    def __init__(self, detection: TurnDetection, stream: ProbabilityStream, start: int = 0) -> None:
        self.detection = detection
        self.reset(stream, start)

    def reset(self, stream: ProbabilityStream, start: int) -> None:
        """Begin anew at sample `start`, with a new stream and no memory of earlier audio."""
        self._stream = stream
        self._gain = GainControl()
        self._rest = np.empty(0, np.float32)  # samples that do not fill a frame yet
        self._clock = start  # the end of the last processed frame
        self.mark_committed(start)

    def mark_committed(self, until: int) -> None:
        """Note that the audio before sample `until`, which has been fed, is committed.

        An open turn closes without an event. If its speech goes on, that is a new turn from `until`.
        """
        self._committed_until = until
        self._turn_start: int | None = None
        self._run = 0  # frames of speech in a row, while no turn is open
        self._speech_frames = 0  # in the open turn

    @property
    def turn_start(self) -> int | None:
        """The first sample of the open turn; None if no turn is open."""
        return self._turn_start

    @property
    def sentence_end(self) -> int | None:
        """Where the open turn's speech has ended, if the pause since is one that may end a sentence; else None."""
        if self._turn_start is None or self.detection.sentence_pause_ms is None:
            return None
        return self._speech_end if self._clock >= self._speech_end + self._sentence_pause else None

    def stop_after_sentence(self) -> TurnStopped:
        """Close the open turn where a sentence has ended, which is to be the case (`sentence_end`)."""
        end = self._speech_end + self._sentence_pause
        self.mark_committed(end)
        return TurnStopped(end)

    @property
    def _sentence_pause(self) -> int:
        return _samples(self.detection.sentence_pause_ms or 0)

    @property
    def speech_frames(self) -> int:
        """Frames of speech in the open turn, 0 if none is open."""
        return self._speech_frames if self._turn_start is not None else 0

    @property
    def keep_from(self) -> int:
        """The first sample that a later event can name. What lies before may be dropped unless `detection` changes."""
        if self._turn_start is not None:
            return self._turn_start
        if self.detection.idle_timeout_ms is not None:
            return self._committed_until
        return self._padded_start(self._clock)

    def feed(self, samples: Samples) -> list[TurnEvent]:
        """Return the events, in order, in further 16 kHz audio of shape (samples,) and full scale 1."""
        frames = self.add(samples)
        return self.process(frames.probabilities()) if frames else []

    def add(self, samples: Samples) -> LiveFrames | None:
        """Add 16 kHz audio (samples,), and return the frames that are complete; None if none is.

        Their probabilities are to be passed to `process` before anything else is done with this detector.
        """
        audio = np.concatenate([self._rest, samples])
        whole = len(audio) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = audio[whole:].copy()
        return LiveFrames(audio[:whole], self._gain, self._stream) if whole else None

    def process(self, probabilities: Probabilities) -> list[TurnEvent]:
        """Return the events, in order, in the next frames, given their probabilities of speech (frames,)."""
        return [event for event in map(self._process_frame, probabilities.tolist()) if event]

    def _process_frame(self, probability: float) -> TurnEvent | None:
        """Return the event in the next frame, if there is one."""
        self._clock += FRAME_SAMPLES
        if self._turn_start is None:
            return self._start(probability) or self._time_out()
        return self._stop(probability)

    def _start(self, probability: float) -> TurnStarted | None:
        self._run = self._run + 1 if probability >= self.detection.threshold else 0
        if self._run < MIN_FRAMES:
            return None
        self._turn_start = self._padded_start(self._clock)
        self._speech_end = self._clock
        self._speech_frames = self._run
        return TurnStarted(self._turn_start)

    def _time_out(self) -> IdleTimeout | None:
        if self.detection.idle_timeout_ms is None or self._run:
            return None
        timeout = IdleTimeout(self._committed_until, self._committed_until + _samples(self.detection.idle_timeout_ms))
        if self._clock < timeout.end:
            return None
        self.mark_committed(timeout.end)
        return timeout

    def _stop(self, probability: float) -> TurnStopped | None:
        if probability >= max(self.detection.threshold - HYSTERESIS, MIN_PAUSE_THRESHOLD):
            self._speech_end = self._clock
            self._speech_frames += 1
            return None
        end = self._speech_end + _samples(self.detection.silence_duration_ms)
        if self._clock < end:
            return None
        self.mark_committed(end)
        return TurnStopped(end)

    def _padded_start(self, now: int) -> int:
        """Return where a turn begins if its speech is the current run of frames, up to sample `now`."""
        onset = now - self._run * FRAME_SAMPLES
        return max(self._committed_until, onset - _samples(self.detection.prefix_padding_ms))


def _samples(time_ms: int) -> int:
    return time_ms * SAMPLE_RATE // 1000
