"""Subtitles: segments split into readable cues, and cues written as SubRip (srt) or WebVTT (vtt).

The limits are those of the Netflix Timed Text Style Guide ("General Requirements"): at most two lines of 42 characters,
as readers count them, from 5/6 of a second to 7 seconds, and line breaks after punctuation.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from src.text.segments import Segment
from src.text.spelling import readable_length
from src.text.words import Word

MAX_LINE = 42
MAX_CUE_S = 7.0
MIN_CUE_S = 5 / 6
PAUSE_S = 0.2
"""A pause that listeners notice. Shorter silences are parts of consonants (Campione and Veronis 2002, as in
`src.text.segments`)."""
MIN_ROOM = 21
"""Characters of a first line that the name of its speaker leaves for words, at least."""
PUNCTUATION_BONUS = 15
"""A line break after punctuation may make two lines differ in length by this many more characters."""


@dataclass(frozen=True, slots=True)
class Cue:
    """The text on the screen at one time. Times are in milliseconds, the resolution of both formats."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    """One or two lines of at most 42 characters each, the first with the name that SubRip writes before it. A single
    word may be longer."""
    speaker: str = ""
    """Who says it; empty if nobody has asked."""

    @property
    def text(self) -> str:
        """The lines, without `-->`: both formats would read that as the timing of a cue."""
        return _without_arrows("\n".join(self.lines))


def cues_of(segments: Sequence[Segment], duration_s: float) -> tuple[Cue, ...]:
    """Return the cues for the segments of a clip of `duration_s`.

    Cues do not overlap. A cue lasts as long as its words, at most 7 s. Words that take less than 5/6 s are shown for
    5/6 s, or share a cue with the next word if that follows sooner. Every cue lasts at least 1 ms, even if its words
    have no duration.
    """
    parts = [
        (part, speaker)
        for words, speaker in _readable_groups(segments)
        for part in _CueSplitter(words, _room(speaker)).split()
    ]
    limits_s = [words[0].start_s for words, _ in parts[1:]] + [duration_s]
    cues: list[Cue] = []
    for (words, speaker), limit_s in zip(parts, limits_s, strict=False):
        start_s = words[0].start_s
        end_s = min(limit_s, start_s + MAX_CUE_S, max(words[-1].end_s, start_s + MIN_CUE_S))
        start_ms = max(round(start_s * 1000), cues[-1].end_ms if cues else 0)
        cues.append(Cue(start_ms, max(round(end_s * 1000), start_ms + 1), _wrap(words, _room(speaker)), speaker))
    return tuple(cues)


def _readable_groups(segments: Sequence[Segment]) -> list[tuple[list[Word], str]]:
    """Return the words of each segment with their speaker.

    One that leaves no time to read it ("No.") is joined with the next, unless that is somebody else's.
    """
    groups: list[tuple[list[Word], str]] = []
    previous_s = -math.inf
    for segment in segments:
        if not segment.words:
            continue
        if segment.start_s - previous_s >= MIN_CUE_S or segment.speaker != groups[-1][1]:
            groups.append(([], segment.speaker))
        groups[-1][0].extend(segment.words)
        previous_s = segment.start_s
    return groups


def _room(speaker: str) -> int:
    """Return how many characters of a cue's first line are left for words."""
    return max(MIN_ROOM, MAX_LINE - readable_length(_prefix(speaker)))


def _prefix(speaker: str) -> str:
    """Return what SubRip, which has no markup for speakers, writes before the words of one."""
    return f"{_without_arrows(speaker)}: " if speaker else ""


def srt(cues: Sequence[Cue]) -> str:
    """Return the text of a SubRip file, empty if there are no cues. Speakers are written as `A: `."""
    blocks = (f"{_timing(cue, ',')}\n{_prefix(cue.speaker)}{cue.text}" for cue in cues)
    return "".join(f"{number}\n{block}\n\n" for number, block in enumerate(blocks, start=1))


def vtt(cues: Sequence[Cue]) -> str:
    """Return the text of a WebVTT file (w3.org/TR/webvtt1). Markup in the words is escaped. Speakers are voices."""
    return "WEBVTT\n\n" + "".join(f"{_timing(cue, '.')}\n{_voice(cue)}{_escape(cue.text)}\n\n" for cue in cues)


def _voice(cue: Cue) -> str:
    """Return the tag that names the speaker of a cue. A voice that has all of the cue needs no end tag."""
    return f"<v {_escape(_without_arrows(cue.speaker))}>" if cue.speaker else ""


def _without_arrows(text: str) -> str:
    return re.sub("-{2,}>", "->", text)


def _timing(cue: Cue, point: str) -> str:
    return f"{_timestamp(cue.start_ms, point)} --> {_timestamp(cue.end_ms, point)}"


def _timestamp(time_ms: int, point: str) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


def _escape(text: str) -> str:
    """Escape text for WebVTT. The format allows a bare `>`, but FFmpeg drops it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _wrap(words: Sequence[Word], room: int) -> tuple[str, ...]:
    """Return the words of a cue as one line, or as two of similar length, preferably broken after punctuation.

    The first line has at most `room` characters.
    """
    if _is_line(words, room):
        return (_text_of_words(words),)
    cuts = [cut for cut in range(1, len(words)) if _is_line(words[:cut], room) and _is_line(words[cut:])]
    cut = min(cuts, key=lambda cut: _imbalance(words[:cut], words[cut:]))
    return _text_of_words(words[:cut]), _text_of_words(words[cut:])


def _imbalance(top: Sequence[Word], bottom: Sequence[Word]) -> tuple[int, int]:
    """Return how bad a pair of lines looks. Between two equal pairs, the one with the longer bottom line is better."""
    length = _length_of(top)
    return abs(length - _length_of(bottom)) - PUNCTUATION_BONUS * _ends_phrase(top[-1]), length


def _is_line(words: Sequence[Word], room: int = MAX_LINE) -> bool:
    return len(words) == 1 or _length_of(words) <= room


def _length_of(words: Sequence[Word]) -> int:
    return readable_length(_text_of_words(words))


def _text_of_words(words: Sequence[Word]) -> str:
    return " ".join(word.written for word in words)


def _ends_phrase(word: Word) -> bool:
    return not word.written.endswith(word.text)


_Cost = tuple[int, int, int]
"""Cost of a split, compared in this order: number of cues, sum of `_cut_cost`, sum of squared lengths of the cues."""


class _CueSplitter:
    """Splits words into as few cues as possible, and among those splits finds the one with the best cuts.

    Args:
        words: the words.
        room: characters of each cue's first line that words may take.
    """

    def __init__(self, words: Sequence[Word], room: int) -> None:
        self._words = words
        self._room = room
        self._offsets = list(accumulate((readable_length(word.written) + 1 for word in words), initial=0))

    def split(self) -> list[Sequence[Word]]:
        """Return the words of each cue, in order.

        For each number of words it finds the cheapest split, from the cheapest splits of fewer words.
        """
        costs: list[_Cost] = [(0, 0, 0)]
        starts = [0]
        for end in range(1, len(self._words) + 1):
            cost, start = min(self._candidates(end, costs))
            costs.append(cost)
            starts.append(start)
        cues: list[Sequence[Word]] = []
        end = len(self._words)
        while end > 0:
            cues.append(self._words[starts[end] : end])
            end = starts[end]
        return cues[::-1]

    def _candidates(self, end: int, costs: Sequence[_Cost]) -> Iterator[tuple[_Cost, int]]:
        """Yield the cost of the words before `end` for each possible start of their last cue, and that start."""
        for start in range(end - 1, -1, -1):
            if start < end - 1 and not self._fits(start, end):
                return
            cues, breaks, squares = costs[start]
            yield (cues + 1, breaks + self._cut_cost(start, end), squares + self._length(start, end) ** 2), start

    def _fits(self, start: int, end: int) -> bool:
        """Return whether these words fit in two lines, where a long word may be a line alone, and in `MAX_CUE_S`."""
        if self._words[end - 1].end_s - self._words[start].start_s > MAX_CUE_S:
            return False
        first_line_end = bisect_right(self._offsets, self._offsets[start] + self._room + 1) - 1
        bottom = max(start + 1, first_line_end)
        return bottom >= end - 1 or self._length(bottom, end) <= MAX_LINE

    def _length(self, start: int, end: int) -> int:
        return self._offsets[end] - self._offsets[start] - 1

    def _cut_cost(self, start: int, end: int) -> int:
        """Return the cost of one cue: 1 or 2 if it starts within a phrase, 3 more if it leaves no time to read it."""
        word = self._words[start]
        cut = 0
        if start > 0 and not _ends_phrase(self._words[start - 1]):
            cut = 1 if round(word.start_s - self._words[start - 1].end_s, 3) >= PAUSE_S else 2
        shown_until_s = self._words[end].start_s if end < len(self._words) else self._words[-1].end_s
        return cut + (3 if shown_until_s - word.start_s < MIN_CUE_S else 0)
