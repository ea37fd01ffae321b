"""The audio side of a session: bytes in, samples on the session's clock, and the turns detected in them."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from src.audio.gain import FRAME_S, SILENCE_PEAK
from src.audio.live_frames import LiveFrames
from src.audio.pcm_stream import AudioFormat, StreamDecoder
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import Probabilities, SpeechAnalyzer, SpeechStream, run_detection
from src.realtime.buffer import AudioBuffer
from src.realtime.turn_detection import TurnDetection, TurnDetector, TurnEvent, TurnStarted, TurnStopped
from src.transcription.vad_fallback import MIN_SPEECH_S, peak_exceeds

FORMAT_LOCK_S = 1.0
"""The first audio stays undecoded until there is this much, as some clients send it before they name its format."""
SLICE_S = 1.0
"""How much audio is decoded before turns are detected in it, at most."""
SILENCE_KEPT_S = 10.0
"""How much audio without a detected turn is kept, for clients that commit it nevertheless."""
FULL_SHARE = 0.9
"""Without turn detection, silence at the beginning of the buffer is dropped once the buffer is full to this share."""
SEARCHED_S = 60.0
"""How much of the beginning is searched for speech at a time."""
MARGIN_S = 1.0
"""How much of the silence before speech is kept."""


class AudioInput:
    """Audio on its way from the wire to items.

    The methods that return turn events compute them lazily. The caller handles each event before it asks for the next.

    `drain` decodes what waits, and detects the turns in it. Whoever runs many inputs together takes the same steps for
    each: `decode` a slice, get the probabilities of its frames, and `detect` the turns. Then, where it holds up nobody
    else, `make_room` of each that `needs_room`.

    Args:
        format: the format of appended bytes, until `configure` changes it.
        new_stream: makes a stream of the speech detector.
        max_samples: the longest turn, and the most silence that is kept.
    """

    def __init__(self, format: AudioFormat, new_stream: Callable[[], SpeechStream], max_samples: int) -> None:
        self.buffer = AudioBuffer()
        self._format = format
        self._bytes_per_s = format.bytes_per_second
        self._new_stream = new_stream
        self._max_samples = max_samples
        self._is_format_locked = False
        self._undecoded = bytearray()
        self._decoder = StreamDecoder(format)
        self._decoded = np.empty(0, np.float32)  # samples that wait for the end of a turn that is as long as one may be
        self._detector: TurnDetector | None = None
        self._is_leftover = False  # the buffer holds only silence that ended the last turn
        self._speech_start: int | None = None  # the buffer's start, if a search has found that speech begins there

    @property
    def undecoded_s(self) -> float:
        """Seconds of audio that were appended and are not in the buffer."""
        return len(self._undecoded) / self._bytes_per_s + len(self._decoded) / SAMPLE_RATE

    @property
    def decodable_s(self) -> float:
        """How much audio must wait to be decoded: the first waits until its format cannot change any more."""
        return 0.0 if self._is_format_locked else FORMAT_LOCK_S

    @property
    def is_decodable(self) -> bool:
        """Whether waiting audio may be decoded."""
        return self._is_format_locked or self.undecoded_s >= FORMAT_LOCK_S

    @property
    def held_s(self) -> float:
        """Seconds of audio that no item has taken, decoded or not."""
        return len(self.buffer) / SAMPLE_RATE + self.undecoded_s

    @property
    def committable(self) -> int:
        """Samples that a manual commit would take: none if the last turn event ended a turn."""
        return 0 if self._is_leftover else len(self.buffer)

    @property
    def holds_speech(self) -> bool:
        """Whether somebody speaks in the buffer. It takes the detector up to 0.7 ms for each second."""
        return self.hears_speech(self.buffer.view(self.buffer.start, self.buffer.end))

    def hears_speech(self, samples: Samples) -> bool:
        """Return whether somebody speaks in the open turn or, if that is not certain, in 16 kHz audio (samples,)."""
        if self.has_heard_speech:
            return True
        if not peak_exceeds(samples, SILENCE_PEAK):
            return False
        return run_detection(SpeechAnalyzer(self._new_stream).detect_speech(samples, MIN_SPEECH_S))

    @property
    def has_heard_speech(self) -> bool:
        """Whether it is known, without the detector's network, that somebody speaks in the open turn."""
        return self._detector is not None and self._detector.speech_frames * FRAME_S >= MIN_SPEECH_S

    @property
    def detects_turns(self) -> bool:
        """Whether turns are detected; otherwise the client commits."""
        return self._detector is not None

    @property
    def in_turn(self) -> bool:
        """Whether a detected turn is open."""
        return self._detector is not None and self._detector.turn_start is not None

    @property
    def sentence_end(self) -> int | None:
        """Where speech has ended, on the session's clock, if the open turn may end after its sentence; else None."""
        return self._detector.sentence_end if self._detector is not None else None

    def stop_after_sentence(self) -> Iterator[TurnEvent]:
        """Yield the end of the open turn, given that there is a `sentence_end`."""
        assert self._detector is not None
        stopped = self._detector.stop_after_sentence()
        self._is_leftover = True
        yield stopped

    def held_s_in(self, format: AudioFormat) -> float:
        """Return what `held_s` would be in another format, in which the first, undecoded audio may be longer."""
        undecoded_s = self.undecoded_s if self._is_format_locked else len(self._undecoded) / format.bytes_per_second
        return len(self.buffer) / SAMPLE_RATE + undecoded_s

    def duration_s(self, data: bytes) -> float:
        """Return the duration of audio in the current format."""
        return len(data) / self._bytes_per_s

    def append(self, data: bytes) -> None:
        """Store audio; nothing is decoded yet."""
        self._undecoded += data

    def drain(self, *, lock_format: bool = False) -> Iterator[TurnEvent]:
        """Decode the waiting audio and yield the turn events in it.

        The first audio waits until there are `FORMAT_LOCK_S` of it, or until `lock_format` rules out that its format
        changes.
        """
        self._is_format_locked = self._is_format_locked or lock_format
        while self.is_decodable and self.undecoded_s:
            frames = self.decode()
            yield from self.detect(frames.probabilities() if frames else None)
            if self.needs_room:
                self.make_room()

    def decode(self) -> LiveFrames | None:
        """Move a slice of the waiting audio to the buffer, at most `SLICE_S`, given that it `is_decodable`.

        Return the frames in which turns are to be detected; None if there are none. `detect` is to be called next.
        """
        self._is_format_locked = True
        if not len(self._decoded):
            size = round(SLICE_S * self._bytes_per_s)
            self._decoded = self._decoder.feed(bytes(self._undecoded[:size]))
            del self._undecoded[:size]
        # A turn is cut at exactly `max_samples`, however the audio arrived.
        size = self._max_samples - len(self.buffer) if self.in_turn else len(self._decoded)
        samples, self._decoded = self._decoded[:size], self._decoded[size:]
        self.buffer.append(samples)
        return self._detector.add(samples) if self._detector else None

    def detect(self, probabilities: Probabilities | None) -> Iterator[TurnEvent]:
        """Yield the turn events in the frames that `decode` returned, and drop what no later event needs.

        Args:
            probabilities: the probability of speech in each frame (frames,); None if there were no frames.
        """
        if self._detector is None:
            return
        for event in self._detector.process(probabilities) if probabilities is not None else ():
            self._is_leftover = not isinstance(event, TurnStarted)
            yield event
        if self._detector.turn_start is None:
            self._drop_silence(self._detector.keep_from)
        elif len(self.buffer) >= self._max_samples:
            self._detector.mark_committed(self.buffer.end)
            self._is_leftover = True
            yield TurnStopped(self.buffer.end)

    def flush(self) -> Iterator[TurnEvent]:
        """Decode everything to the last sample. Audio appended later is a stream of its own."""
        yield from self.drain(lock_format=True)
        self._decoded = self._decoder.finish()
        yield from self.drain()

    def drain_before(self, format: AudioFormat) -> Iterator[TurnEvent]:
        """Decode the audio that has the current format, before `configure` sets `format`."""
        if self._is_format_locked:
            yield from self.drain() if format == self._format else self.flush()

    def configure(self, format: AudioFormat, detection: TurnDetection | None) -> Iterator[TurnEvent]:
        """Set the format of later audio, and of the first audio while that is undecoded, and the turn detection."""
        if format != self._format:
            self._format = format
            self._bytes_per_s = format.bytes_per_second
            self._decoder = StreamDecoder(format)
        yield from self.set_detection(detection)
        yield from self.drain(lock_format=True)

    def set_detection(self, detection: TurnDetection | None) -> Iterator[TurnEvent]:
        """Change the turn detection, or turn it off with None. An open turn goes on under the new settings."""
        if detection is None:
            self._detector = None
            self._is_leftover = False
        elif self._detector is not None:
            self._retune(self._detector, detection)
        else:
            self._detector = TurnDetector(detection, self._new_stream(), self.buffer.start)
            frames = self._detector.add(self.buffer.copy(self.buffer.start, self.buffer.end))
            yield from self.detect(frames.probabilities() if frames else None)

    def _retune(self, detector: TurnDetector, detection: TurnDetection) -> None:
        old, detector.detection = detector.detection, replace(detection, idle_timeout_ms=None)
        if detection.idle_timeout_ms != old.idle_timeout_ms and detector.turn_start is None:
            # Idle time counts from now: the silence so far may exceed the new timeout, and part of it is dropped.
            detector.mark_committed(max(detector.keep_from, self.buffer.start))
        detector.detection = detection

    def mark_committed(self) -> None:
        """Note that all audio so far is committed. Speech that goes on is a new turn."""
        self._is_leftover = False
        if self._detector is not None:
            self._detector.mark_committed(self.buffer.end)

    def clear(self) -> None:
        """Drop the decoded audio; the clock goes on."""
        self.buffer.drop_until(self.buffer.end)
        self._is_leftover = False
        if self._detector is not None:
            self._detector.reset(self._new_stream(), self.buffer.end)

    def _drop_silence(self, keep_from: int) -> None:
        kept_s = 0.0 if self._is_leftover else SILENCE_KEPT_S
        keep_from = min(keep_from, self.buffer.end - round(kept_s * SAMPLE_RATE))
        self.buffer.drop_until(max(keep_from, self.buffer.end - self._max_samples))

    @property
    def needs_room(self) -> bool:
        """Whether the buffer is almost full, and may begin with silence that only its client could end."""
        is_full = self._detector is None and len(self.buffer) >= FULL_SHARE * self._max_samples
        return is_full and self.buffer.start != self._speech_start

    def make_room(self) -> None:
        """Drop the silence before speech: some clients send silence for hours before they commit.

        It looks for speech in up to `SEARCHED_S` of audio, which takes a tenth of a second.
        """
        buffer = self.buffer
        size = min(len(buffer), round(SEARCHED_S * SAMPLE_RATE)) // FRAME_SAMPLES * FRAME_SAMPLES
        searched = buffer.copy(buffer.start, buffer.start + size)
        analyzer = SpeechAnalyzer(self._new_stream)
        analyzer.feed(searched)
        analyzer.finish()
        spans = analyzer.spans(searched, MARGIN_S)
        silent_s = spans[0].start_s - MARGIN_S if spans else size / SAMPLE_RATE - MARGIN_S
        buffer.drop_until(buffer.start + max(0, round(silent_s * SAMPLE_RATE)))
        self._speech_start = buffer.start if spans else None
