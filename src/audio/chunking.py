"""Long audio as chunks that a model takes one at a time, in a stream that holds little more than one chunk.

A chunk ends in the middle of the longest pause in the last part of what it may be. Where nobody pauses, the next chunk
begins some seconds before the end of this one, about the quietest point, so that each word near the seam is whole in
one of the two. Long silence, also that at the beginning and the end, is in no chunk.

The speech detector hears all of audio that needs a cut: it costs 0.6 ms for a second of audio, while a cheaper measure
that knows silence only by its loudness would find none in a noisy room. Audio that needs none never meets it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import FRAME_S, LOOKAHEAD_S, Span, SpeechAnalyzer, SpeechDetector

SEARCH_SHARE = 0.6
"""A cut is looked for after this share of the longest chunk."""
REST_SHARE = 0.1
"""What this share of the longest chunk leaves over at the end of a file would be a chunk too short to understand."""
MIN_PAUSE_S = 0.3
"""A shorter pause may be the silence inside a word, before its p, t or k."""
LONG_SILENCE_S = 3.0
MARGIN_S = 0.5
"""What is kept of long silence beside speech: the detector wakes late on soft sounds."""
OVERLAP_S = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A stretch of a longer recording; times are seconds from the recording's start."""

    samples: Samples
    """16 kHz mono (samples,)."""
    start_s: float
    """Where `samples` begins."""
    from_s: float
    to_s: float
    """Words from here to here are this chunk's to say; beyond, where chunks overlap, they are its neighbours'."""

    @property
    def end_s(self) -> float:
        """Where `samples` ends."""
        return (round(self.start_s * SAMPLE_RATE) + len(self.samples)) / SAMPLE_RATE


class _Cut(NamedTuple):
    """What to take off the beginning of a tape: a chunk until `end_s`, none at 0; the rest begins at `next_s`."""

    end_s: float
    next_s: float


def split(blocks: Iterable[Samples], detector: SpeechDetector, *, chunk_seconds: float) -> Iterator[Chunk]:
    """Cut a stream of 16 kHz mono blocks (samples,) of any size into chunks of at most `chunk_seconds`, 10 at least.

    Audio that is no longer than that is one chunk, untouched. Errors of `blocks` pass through.
    """
    rest_s = REST_SHARE * chunk_seconds
    tape = _Tape(detector)
    whole = True
    for samples in _gathered(blocks, round(rest_s * SAMPLE_RATE)):
        tape.add(samples)
        while tape.heard_s > chunk_seconds + rest_s:
            whole = False
            yield from tape.take(_cut(tape, chunk_seconds))
    if whole and 0 < tape.length_s <= chunk_seconds:
        yield from tape.take(_Cut(tape.length_s, tape.length_s))
    tape.end()
    while tape.length_s:
        yield from tape.take(_cut(tape, chunk_seconds))


class _Tape:
    """The part of a recording that is not cut yet, and what the detector says of it. Times are from its beginning."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._hearing = SpeechAnalyzer(detector.new_stream)
        self._fed = 0  # samples that the detector has
        self._start = 0  # in samples of the recording, at the edge of a frame
        self._samples = np.empty(0, np.float32)
        self._seam_s: float | None = None  # in the recording, where the next chunk overlaps the one before it
        self.ended = False

    @property
    def length_s(self) -> float:
        return len(self._samples) / SAMPLE_RATE

    @property
    def heard_s(self) -> float:
        """How far the detector's word goes."""
        return self.length_s if self.ended else self.length_s - LOOKAHEAD_S

    def add(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples]) if len(self._samples) else samples

    def end(self) -> None:
        """Note that nothing will be added any more."""
        self.ended = True

    def spans(self) -> tuple[Span, ...]:
        """Where somebody speaks, up to `heard_s`. The detector hears what it has not heard yet."""
        self._hearing.feed(self._samples[self._fed :])
        self._fed = len(self._samples)
        if self.ended:
            self._hearing.finish()
        return self._hearing.spans(self._samples, LONG_SILENCE_S)

    def quietest_s(self, start_s: float, end_s: float) -> float:
        """The middle of the quietest 160 ms between two times."""
        first, last = round(start_s / FRAME_S), round(end_s / FRAME_S)
        frames = self._samples[first * FRAME_SAMPLES : last * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
        energies = np.square(frames, dtype=np.float64).sum(axis=1)
        return (first + int(np.convolve(energies, np.ones(5), "valid").argmin()) + 2.5) * FRAME_S

    def take(self, cut: _Cut) -> Iterator[Chunk]:
        """Do a cut, and yield the chunk that comes off, if one does."""
        end, rest = map(self._sample, cut)
        if end:
            start_s = self._start / SAMPLE_RATE
            from_s = start_s if self._seam_s is None else self._seam_s
            to_s = (self._start + min(end, (end + rest) / 2)) / SAMPLE_RATE
            self._seam_s = to_s if rest < end else None
            # A copy would let go of the rest; where there is none it would only cost time.
            samples = self._samples if end == len(self._samples) else self._samples[:end].copy()
            yield Chunk(samples, start_s, from_s, to_s)
        self._start += rest
        self._samples = self._samples[rest:]
        self._fed -= rest
        self._hearing.drop(-(-rest // FRAME_SAMPLES))

    def _sample(self, time_s: float) -> int:
        """The sample at a time, at the edge of a frame or at the tape's end."""
        if time_s >= self.length_s:
            return len(self._samples)
        return round(time_s * SAMPLE_RATE) // FRAME_SAMPLES * FRAME_SAMPLES


def _cut(tape: _Tape, chunk_s: float) -> _Cut:
    """Choose the first cut of a tape that has ended, or that is longer than a chunk may be and somewhat more."""
    length_s = tape.heard_s
    spans = tape.spans()
    if not spans:
        return _Cut(0, length_s if tape.ended else length_s - MARGIN_S)
    if spans[0].start_s > MARGIN_S + FRAME_S:
        return _Cut(0, spans[0].start_s - MARGIN_S)

    pauses = [Span(span.end_s, following.start_s) for span, following in pairwise([*spans, Span(length_s, length_s)])]
    last = pauses[-1]
    for pause in pauses:
        kept_s = pause.start_s + MARGIN_S
        if pause.end_s - pause.start_s >= LONG_SILENCE_S and kept_s <= chunk_s:
            return _Cut(kept_s, kept_s)
    if tape.ended and length_s <= chunk_s:
        return _Cut(min(last.start_s + MARGIN_S, length_s), length_s)

    window = Span(SEARCH_SHARE * chunk_s, min(chunk_s, length_s - REST_SHARE * chunk_s))
    longest = max((_overlap(pause, window) for pause in pauses), key=_duration_s)
    if _duration_s(longest) >= MIN_PAUSE_S:
        middle_s = (longest.start_s + longest.end_s) / 2
        return _Cut(middle_s, middle_s)
    seam_s = tape.quietest_s(window.start_s, window.end_s - OVERLAP_S / 2)
    return _Cut(seam_s + OVERLAP_S / 2, seam_s - OVERLAP_S / 2)


def _overlap(one: Span, other: Span) -> Span:
    """The stretch that two have in common; its end lies before its start where they have none."""
    return Span(max(one.start_s, other.start_s), min(one.end_s, other.end_s))


def _duration_s(span: Span) -> float:
    return span.end_s - span.start_s


def _gathered(blocks: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Join blocks until at least `size` samples are together."""
    held: list[Samples] = []
    length = 0
    for block in blocks:
        held.append(block)
        length += len(block)
        if length >= size:
            yield _joined(held)
            held, length = [], 0
    if length:
        yield _joined(held)


def _joined(blocks: list[Samples]) -> Samples:
    """Join blocks; one alone is not copied."""
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
