"""Subtitles: segments cut into cues that can be read, written as SubRip (srt) or WebVTT (vtt).

The limits are those of the Netflix Timed Text Style Guide ("General Requirements", "English"): two lines of 42
characters, from 5/6 of a second to 7 seconds, lines broken after punctuation.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from src.text.words import Segment, Word

MAX_LINE = 42
MAX_CUE_S = 7.0
MIN_CUE_S = 5 / 6
PAUSE_S = 0.2
"""A pause that is heard as one; below are stops of the mouth (Campione and Veronis 2002, as in `src.text.words`)."""
PUNCTUATION_WORTH = 15
"""How many characters of imbalance a line break after punctuation is worth."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What is on the screen at one time. Milliseconds, as both formats have no finer ones."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    """One or two, of at most 42 characters each but where a single word is longer."""


def cues_of(segments: Sequence[Segment], duration_s: float) -> tuple[Cue, ...]:
    """Return the cues for the segments of a clip of `duration_s`.

    Cues do not overlap, and are as long as their words are heard, at most 7 s; shorter ones stay for 5/6 s if the next
    word lets them, and share a cue with it if it does not. Every cue has a length, even where words have none.
    """
    parts = [part for words in _readable(segments) for part in _Stretch(words).split()]
    limits_s = [part[0].start_s for part in parts[1:]] + [duration_s]
    cues: list[Cue] = []
    for words, limit_s in zip(parts, limits_s, strict=False):
        start_s = words[0].start_s
        end_s = min(limit_s, start_s + MAX_CUE_S, max(words[-1].end_s, start_s + MIN_CUE_S))
        start_ms = max(round(start_s * 1000), cues[-1].end_ms if cues else 0)
        cues.append(Cue(start_ms, max(round(end_s * 1000), start_ms + 1), _lines(words)))
    return tuple(cues)


def _readable(segments: Sequence[Segment]) -> list[list[Word]]:
    """Return the words of each segment, together with those of the next where it leaves no time to read it ("No.")."""
    stretches: list[list[Word]] = []
    previous_s = -math.inf
    for segment in segments:
        if not segment.words:
            continue
        if segment.start_s - previous_s >= MIN_CUE_S:
            stretches.append([])
        stretches[-1].extend(segment.words)
        previous_s = segment.start_s
    return stretches


def srt(cues: Sequence[Cue]) -> str:
    """Return a SubRip file, empty if there are no cues."""
    return "".join(f"{number}\n{_timing(cue, ',')}\n{_text(cue)}\n\n" for number, cue in enumerate(cues, start=1))


def vtt(cues: Sequence[Cue]) -> str:
    """Return a WebVTT file (w3.org/TR/webvtt1), in whose text markup is escaped."""
    return "WEBVTT\n\n" + "".join(f"{_timing(cue, '.')}\n{_escaped(_text(cue))}\n\n" for cue in cues)


def _timing(cue: Cue, point: str) -> str:
    return f"{_timestamp(cue.start_ms, point)} --> {_timestamp(cue.end_ms, point)}"


def _timestamp(time_ms: int, point: str) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def _text(cue: Cue) -> str:
    """Return the lines of a cue without the arrow that would make them a timing line."""
    return re.sub("-{2,}>", "->", "\n".join(cue.lines))


def _escaped(text: str) -> str:
    """Return text as WebVTT has it. It does not ask for `&gt;`, but FFmpeg drops a bare `>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(words: Sequence[Word]) -> tuple[str, ...]:
    """Return the words of a cue as one line, or as two of like length, the first best ending a phrase."""
    if _is_line(words):
        return (_joined(words),)
    cuts = [cut for cut in range(1, len(words)) if _is_line(words[:cut]) and _is_line(words[cut:])]
    cut = min(cuts, key=lambda cut: _imbalance(words[:cut], words[cut:]))
    return _joined(words[:cut]), _joined(words[cut:])


def _imbalance(top: Sequence[Word], bottom: Sequence[Word]) -> tuple[int, int]:
    """Return how bad a pair of lines looks; of two alike, the one with the longer bottom line is better."""
    length = len(_joined(top))
    return abs(length - len(_joined(bottom))) - PUNCTUATION_WORTH * _ends_phrase(top[-1]), length


def _is_line(words: Sequence[Word]) -> bool:
    return len(words) == 1 or len(_joined(words)) <= MAX_LINE


def _joined(words: Sequence[Word]) -> str:
    return " ".join(word.written for word in words)


def _ends_phrase(word: Word) -> bool:
    return not word.written.endswith(word.text)


class _Stretch:
    """The words of a segment, to be split into as few cues as will do, at the best places that leave so few."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._offsets = list(accumulate((len(word.written) + 1 for word in words), initial=0))

    def split(self) -> list[Sequence[Word]]:
        """Return the words of each cue, in order."""
        costs = [(0, 0, 0)]
        starts = [0]
        for end in range(1, len(self._words) + 1):
            cost, start = min(self._choices(end, costs))
            costs.append(cost)
            starts.append(start)
        cues: list[Sequence[Word]] = []
        end = len(self._words)
        while end > 0:
            cues.append(self._words[starts[end] : end])
            end = starts[end]
        return cues[::-1]

    def _choices(self, end: int, costs: Sequence[tuple[int, int, int]]) -> Iterator[tuple[tuple[int, int, int], int]]:
        """Yield what the words up to `end` cost, and where their last cue starts, for each start that it may have."""
        for start in range(end - 1, -1, -1):
            if start < end - 1 and not self._fits(start, end):
                return
            cues, breaks, squares = costs[start]
            yield (cues + 1, breaks + self._break(start, end), squares + self._length(start, end) ** 2), start

    def _fits(self, start: int, end: int) -> bool:
        """Whether the words make two lines, a longer word alone being one, and are spoken in time."""
        if self._words[end - 1].end_s - self._words[start].start_s > MAX_CUE_S:
            return False
        most = bisect_right(self._offsets, self._offsets[start] + MAX_LINE + 1) - 1
        bottom = max(start + 1, most)
        return bottom >= end - 1 or self._length(bottom, end) <= MAX_LINE

    def _length(self, start: int, end: int) -> int:
        return self._offsets[end] - self._offsets[start] - 1

    def _break(self, start: int, end: int) -> int:
        """Return how bad it is to cut before `start` rather than after a mark, and to leave too little time to read."""
        word = self._words[start]
        cut = 0
        if start > 0 and not _ends_phrase(self._words[start - 1]):
            cut = 1 if round(word.start_s - self._words[start - 1].end_s, 3) >= PAUSE_S else 2
        shown_until_s = self._words[end].start_s if end < len(self._words) else self._words[-1].end_s
        return cut + (3 if shown_until_s - word.start_s < MIN_CUE_S else 0)
