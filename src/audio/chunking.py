"""Cut long audio into chunks that the model takes one at a time, as a stream that holds little more than one chunk.

A chunk ends in the middle of the longest pause in the last part of its allowed length. If there is no pause, the next
chunk begins a few seconds before the end of this one, around the quietest point, so that each word near the seam is
whole in one of the two. Short chunks overlap at pauses too, as words are understood better with what surrounds them.
Long silence, also at the start and the end, is in no chunk.

The speech detector processes all audio that needs a cut, at 0.6 ms per second of audio, and up to twice that if there
is faint noise in its pauses. A cheaper measure by loudness alone would find no silence in a noisy room. Audio that
needs no cut never reaches the detector.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import FRAME_S, LOOKAHEAD_S, RECHECK_PAUSE_S, Span, SpeechAnalyzer, SpeechDetector

SEARCH_SHARE = 0.6
"""A cut is searched for after this share of the longest chunk."""
REST_SHARE = 0.1
"""The least share of the longest chunk that a cut leaves for the rest: a shorter last chunk cannot be understood."""
MIN_PAUSE_S = 0.3
"""A shorter pause may be the silence inside a word, before its p, t or k."""
LONG_SILENCE_S = 3.0
"""Silence of this length is in no chunk, except for its margins."""
MARGIN_S = 0.5
"""How much of long silence is kept next to speech: the detector wakes late on soft sounds."""
OVERLAP_S = 4.0
"""How much two chunks overlap where there is no pause."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A part of long audio. Times are in seconds from the start of the audio."""

    samples: Samples
    start_s: float
    """The start of `samples`."""
    from_s: float
    to_s: float
    """This chunk owns the words between `from_s` and `to_s`; words in the overlap belong to its neighbour."""
    shares_pause: bool = False
    """Whether there is a pause around `to_s` in the overlap with the next chunk."""

    @property
    def end_s(self) -> float:
        """The end of `samples`."""
        return (round(self.start_s * SAMPLE_RATE) + len(self.samples)) / SAMPLE_RATE

    @property
    def own_samples(self) -> Samples:
        """The samples between `from_s` and `to_s`. Those of all chunks together have no sample twice."""
        start, end = (round((time_s - self.start_s) * SAMPLE_RATE) for time_s in (self.from_s, self.to_s))
        return self.samples[start:end]


class _Cut(NamedTuple):
    """A cut: the chunk ends at `end_s` (0: no chunk), and the rest of the pending audio starts at `next_s`."""

    end_s: float
    next_s: float
    shares_pause: bool = False


def split(
    blocks: Iterable[Samples], detector: SpeechDetector, *, chunk_seconds: float, context_s: float = 0.0
) -> Iterator[Chunk]:
    """Cut a stream of 16 kHz mono blocks into chunks, and yield each as soon as it is complete.

    Audio of at most `chunk_seconds` is one chunk, unchanged. Errors of `blocks` pass through.

    Args:
        blocks: the audio, in arrays (samples,) of any size.
        detector: finds the pauses.
        chunk_seconds: the longest chunk, at least 10 s.
        context_s: how much of its neighbours' audio a chunk has in addition, at most a quarter of `chunk_seconds`.
            Short chunks need it to be understood like long ones.
    """
    rest_s = REST_SHARE * chunk_seconds
    pending = _PendingAudio(detector)
    is_uncut = True
    for samples in _joined_blocks(blocks, round(rest_s * SAMPLE_RATE)):
        pending.add(samples)
        while pending.analyzed_s > chunk_seconds + rest_s + 2 * context_s:
            is_uncut = False
            yield from pending.take(_choose_cut(pending, chunk_seconds, context_s))
    if is_uncut and 0 < pending.length_s <= chunk_seconds:
        yield from pending.take(_Cut(pending.length_s, pending.length_s))
    pending.end()
    while pending.length_s:
        yield from pending.take(_choose_cut(pending, chunk_seconds, context_s))


class _PendingAudio:
    """The audio that is not cut yet, with its spans of speech. Times are from its own start."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._analyzer = SpeechAnalyzer(detector.new_stream)
        self._fed = 0  # samples that the analyzer has
        self._start = 0  # its position in the whole audio, in samples, on a frame boundary
        self._samples = np.empty(0, np.float32)
        self._seam_s: float | None = None  # in the whole audio: the middle of the overlap with the chunk before
        self.ended = False

    @property
    def length_s(self) -> float:
        """Its length."""
        return len(self._samples) / SAMPLE_RATE

    @property
    def seam_s(self) -> float:
        """The middle of the overlap with the chunk before; 0 if there is none."""
        return 0.0 if self._seam_s is None else max(0.0, self._seam_s - self._start / SAMPLE_RATE)

    @property
    def analyzed_s(self) -> float:
        """The time up to which its spans of speech are known."""
        return self.length_s if self.ended else self.length_s - LOOKAHEAD_S

    def add(self, samples: Samples) -> None:
        """Append audio (samples,)."""
        self._samples = np.concatenate([self._samples, samples]) if len(self._samples) else samples

    def end(self) -> None:
        """Note that the audio has ended."""
        self.ended = True

    def spans(self) -> tuple[Span, ...]:
        """Feed new audio to the detector, and return the spans of speech up to `analyzed_s`."""
        self._analyzer.feed(self._samples[self._fed :])
        self._fed = len(self._samples)
        if self.ended:
            self._analyzer.finish()
        # Shorter pauses than long silence count too: one may be dropped at an edge, or be cut in its middle.
        return self._analyzer.spans(self._samples, RECHECK_PAUSE_S)

    def quietest_s(self, start_s: float, end_s: float) -> float:
        """Return the middle of the quietest 160 ms between two times."""
        first, last = round(start_s / FRAME_S), round(end_s / FRAME_S)
        frames = self._samples[first * FRAME_SAMPLES : last * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
        energies = np.square(frames, dtype=np.float64).sum(axis=1)
        return (first + int(np.convolve(energies, np.ones(5), "valid").argmin()) + 2.5) * FRAME_S

    def take(self, cut: _Cut) -> Iterator[Chunk]:
        """Apply a cut, and yield its chunk, if it has one."""
        end, rest = self._sample(cut.end_s), self._sample(cut.next_s)
        if end:
            start_s = self._start / SAMPLE_RATE
            from_s = start_s if self._seam_s is None else self._seam_s
            to_s = (self._start + min(end, (end + rest) / 2)) / SAMPLE_RATE
            self._seam_s = to_s if rest < end else None
            # A copy frees the memory of the rest; if there is no rest, it would only cost time.
            samples = self._samples if end == len(self._samples) else self._samples[:end].copy()
            yield Chunk(samples, start_s, from_s, to_s, cut.shares_pause)
        self._start += rest
        self._samples = self._samples[rest:]
        self._fed -= rest
        self._analyzer.drop(-(-rest // FRAME_SAMPLES))

    def _sample(self, time_s: float) -> int:
        """Return the index of the sample at a time: on a frame boundary, or the end of the audio."""
        if time_s >= self.length_s:
            return len(self._samples)
        return round(time_s * SAMPLE_RATE) // FRAME_SAMPLES * FRAME_SAMPLES


def _choose_cut(pending: _PendingAudio, chunk_s: float, context_s: float) -> _Cut:
    """Return the first cut of audio that has ended, or that is longer than a chunk, its context and the least rest."""
    length_s = pending.analyzed_s
    own_s = min(context_s, pending.seam_s)  # where the chunk's own audio starts
    spans = pending.spans()
    if not spans:
        return _Cut(0, length_s if pending.ended else length_s - MARGIN_S)
    if spans[0].start_s > MARGIN_S + FRAME_S:
        return _Cut(0, spans[0].start_s - MARGIN_S)

    pauses = [Span(span.end_s, following.start_s) for span, following in pairwise([*spans, Span(length_s, length_s)])]
    last = pauses[-1]
    for pause in pauses:
        kept_s = pause.start_s + MARGIN_S
        if pause.end_s - pause.start_s >= LONG_SILENCE_S and kept_s <= own_s + chunk_s:
            return _Cut(kept_s, kept_s)
    if pending.ended and length_s <= own_s + chunk_s:
        return _Cut(min(last.start_s + MARGIN_S, length_s), length_s)

    last_s = min(own_s + chunk_s, length_s - REST_SHARE * chunk_s - context_s)
    window = Span(own_s + SEARCH_SHARE * chunk_s, last_s)
    longest = max((_overlap(pause, window) for pause in pauses), key=_duration_s)
    if _duration_s(longest) >= MIN_PAUSE_S:
        middle_s = (longest.start_s + longest.end_s) / 2
        return _Cut(middle_s + context_s, middle_s - context_s, shares_pause=context_s > 0)
    overlap_s = max(OVERLAP_S, 2 * context_s)
    seam_s = pending.quietest_s(window.start_s, window.end_s + context_s - overlap_s / 2)
    return _Cut(seam_s + overlap_s / 2, seam_s - overlap_s / 2)


def _overlap(one: Span, other: Span) -> Span:
    """Return the intersection of two spans; its end is before its start if there is none."""
    return Span(max(one.start_s, other.start_s), min(one.end_s, other.end_s))


def _duration_s(span: Span) -> float:
    return span.end_s - span.start_s


def _joined_blocks(blocks: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Join blocks to arrays of at least `size` samples; the last one may be shorter."""
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
    """Join blocks. A single block is not copied."""
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
