"""The audio side of a session: bytes in, samples on a clock, and the turns that are found in them."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from src.audio.pcm_stream import AudioFormat, StreamDecoder
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import SpeechAnalyzer, SpeechStream
from src.realtime.buffer import AudioBuffer
from src.realtime.turn_detection import TurnDetection, TurnDetector, TurnEvent, TurnStarted, TurnStopped

UNSETTLED_S = 1.0
"""So much audio is kept undecoded at the beginning, in case the client says only then in which format it is."""
SLICE_S = 1.0
"""How much audio is decoded before turns are looked for in it."""
SILENCE_KEPT_S = 10.0
"""What is kept of the audio in which no speech was detected, for a client that commits it all the same."""
FULL_SHARE = 0.9
"""Where a client commits by hand, and the buffer is full to this share, silence at its beginning is forgotten."""
SEARCHED_S = 60.0
"""How much of the beginning is searched for speech at a time."""
MARGIN_S = 1.0
"""What is kept of the silence before speech."""


class AudioInput:
    """Audio on its way from the wire to items.

    The methods that return turn events compute while they are iterated over; each event is to be dealt with before the
    next one is asked for.

    Args:
        format: how its bytes are to be understood, until `enter`.
        listen: makes a new stream of the speech detector.
        longest_turn: samples after which a turn is cut, and at most kept of silence.
    """

    def __init__(self, format: AudioFormat, listen: Callable[[], SpeechStream], longest_turn: int) -> None:
        self.buffer = AudioBuffer()
        self._format = format
        self._listen = listen
        self._longest_turn = longest_turn
        self._settled = False
        self._waiting = bytearray()  # received and not decoded
        self._decoder = StreamDecoder(format)
        self._turns: TurnDetector | None = None
        self._is_leftover = False  # the buffer has but what was said to be silence after a turn
        self._speech_from: int | None = None  # where the buffer begins with speech, as far as that was looked for

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that were received and not decoded."""
        return len(self._waiting) / self._format.bytes_per_second

    @property
    def held_s(self) -> float:
        """Seconds of audio that no item has taken, decoded or not."""
        return len(self.buffer) / SAMPLE_RATE + self.waiting_s

    @property
    def uncommitted(self) -> int:
        """Samples that a commit by hand would take: none where a detected turn was the last that happened."""
        return 0 if self._is_leftover else len(self.buffer)

    @property
    def detects_turns(self) -> bool:
        """Whether turns end by themselves."""
        return self._turns is not None

    @property
    def in_turn(self) -> bool:
        """Whether somebody is speaking, as far as turns are detected."""
        return self._turns is not None and self._turns.began is not None

    def held_in_s(self, format: AudioFormat) -> float:
        """Return what `held_s` would be in another format: what waits at the very beginning may be longer in it."""
        waiting_s = self.waiting_s if self._settled else len(self._waiting) / format.bytes_per_second
        return len(self.buffer) / SAMPLE_RATE + waiting_s

    def seconds(self, data: bytes) -> float:
        """Return how long audio of these bytes is."""
        return len(data) / self._format.bytes_per_second

    def append(self, data: bytes) -> None:
        """Take in audio; nothing is computed yet."""
        self._waiting += data

    def hear(self, *, settle: bool = False) -> Iterator[TurnEvent]:
        """Decode the audio that waits, and yield what is found in it.

        At the very beginning nothing is decoded before `UNSETTLED_S` of audio are there, or `settle` says that the
        format will not change any more.
        """
        self._settled = self._settled or settle or self.waiting_s >= UNSETTLED_S
        if not self._settled:
            return
        data, self._waiting = bytes(self._waiting), bytearray()
        size = round(SLICE_S * self._format.bytes_per_second)
        for start in range(0, len(data), size):
            yield from self._take_in(self._decoder.feed(data[start : start + size]))

    def finish(self) -> Iterator[TurnEvent]:
        """Hear everything to the last sample; what comes next is a stream of its own."""
        yield from self.hear(settle=True)
        yield from self._take_in(self._decoder.finish())

    def leave(self, format: AudioFormat) -> Iterator[TurnEvent]:
        """Hear what was meant in the present format, `format` being the one that follows."""
        if self._settled:
            yield from self.hear() if format == self._format else self.finish()

    def enter(self, format: AudioFormat, detection: TurnDetection | None) -> Iterator[TurnEvent]:
        """Understand what comes, and what waits at the very beginning, in a format; detect turns as `detect`."""
        if format != self._format:
            self._format = format
            self._decoder = StreamDecoder(format)
        yield from self.detect(detection)
        yield from self.hear(settle=True)

    def detect(self, detection: TurnDetection | None) -> Iterator[TurnEvent]:
        """Detect turns in another way from now on, or not at all; an open turn goes on in the new way."""
        if detection is None:
            self._turns = None
            self._is_leftover = False
        elif self._turns is not None:
            self._retune(self._turns, detection)
        else:
            self._turns = TurnDetector(detection, self._listen(), self.buffer.start)
            yield from self._look(self.buffer.piece(self.buffer.start, self.buffer.end))

    def _retune(self, detector: TurnDetector, detection: TurnDetection) -> None:
        was, detector.detection = detector.detection, replace(detection, idle_timeout_ms=None)
        if detection.idle_timeout_ms != was.idle_timeout_ms and detector.began is None:
            # Silence counts from now on: what came before may be longer than the timeout, and is forgotten in part.
            detector.take(max(detector.keep_from, self.buffer.start))
        detector.detection = detection

    def take(self) -> None:
        """Say that everything so far has been taken: speech that goes on is a turn of its own."""
        self._is_leftover = False
        if self._turns is not None:
            self._turns.take(self.buffer.end)

    def clear(self) -> None:
        """Forget the audio that is there; the clock goes on."""
        self.buffer.drop_until(self.buffer.end)
        self._is_leftover = False
        if self._turns is not None:
            self._turns.reset(self._listen(), self.buffer.end)

    def _take_in(self, samples: Samples) -> Iterator[TurnEvent]:
        while len(samples):
            # Not beyond the end of the longest turn, so that it does not depend on how the audio came where that is.
            size = self._longest_turn - len(self.buffer) if self.in_turn else len(samples)
            self.buffer.append(samples[:size])
            yield from self._look(samples[:size])
            samples = samples[size:]

    def _look(self, samples: Samples) -> Iterator[TurnEvent]:
        if self._turns is None:
            self._forget_silence_before_speech()
            return
        for event in self._turns.feed(samples):
            self._is_leftover = not isinstance(event, TurnStarted)
            yield event
        if self._turns.began is None:
            self._forget_silence(self._turns.keep_from)
        elif len(self.buffer) >= self._longest_turn:
            self._turns.take(self.buffer.end)
            self._is_leftover = True
            yield TurnStopped(self.buffer.end)

    def _forget_silence(self, keep_from: int) -> None:
        kept = 0.0 if self._is_leftover else SILENCE_KEPT_S
        keep_from = min(keep_from, self.buffer.end - round(kept * SAMPLE_RATE))
        self.buffer.drop_until(max(keep_from, self.buffer.end - self._longest_turn))

    def _forget_silence_before_speech(self) -> None:
        """Make room: some clients send silence for hours, and commit once somebody has spoken."""
        buffer = self.buffer
        if len(buffer) < FULL_SHARE * self._longest_turn or buffer.start == self._speech_from:
            return
        size = min(len(buffer), round(SEARCHED_S * SAMPLE_RATE)) // FRAME_SAMPLES * FRAME_SAMPLES
        searched = buffer.piece(buffer.start, buffer.start + size)
        hearing = SpeechAnalyzer(self._listen)
        hearing.feed(searched)
        hearing.finish()
        spans = hearing.spans(searched, MARGIN_S)
        silent_s = spans[0].start_s - MARGIN_S if spans else size / SAMPLE_RATE - MARGIN_S
        buffer.drop_until(buffer.start + max(0, round(silent_s * SAMPLE_RATE)))
        self._speech_from = buffer.start if spans else None
