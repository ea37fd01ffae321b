"""Segments of a transcript: sentences, or the words between two pauses."""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from src.text.abbreviations import is_abbreviation
from src.text.spelling import DASHES, QUOTES, strip_marks
from src.text.transcript import Token, Transcript
from src.text.words import Word, time_spans, words_of

PAUSE_S = 1.0
"""A pause that ends a segment. Within fluent speech pauses stay under a second; longer ones occur only between thoughts
of spontaneous speech (Campione and Veronis, "A Large-Scale Multilingual Study of Silent Pause Duration", 2002)."""
MAX_SEGMENT_S = 30.0
"""The length of Whisper's window, which is also the longest segment that Whisper returns."""

_GREEK_END = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff][;\u037e]$")
"""A Greek question mark, which is written as a semicolon, after a Greek letter."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or the words between two pauses."""

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...]
    tokens: tuple[int, ...]
    """The ids of its tokens. All segments together have all tokens of the transcript."""
    avg_logprob: float
    """Mean of its tokens' log probabilities."""
    speaker: str = ""
    """Who says it; empty if nobody has asked."""


def segments_of(transcript: Transcript, duration_s: float) -> tuple[Segment, ...]:
    """Return the segments of a clip of `duration_s`. Each ends after a sentence, at a pause, or after 30 s at most.

    The texts of all segments, joined with spaces, are the transcript's text.
    """
    words = words_of(transcript, duration_s)
    return segments_of_words(words) if words else _segment_without_words(transcript, duration_s)


def segments_of_words(words: Sequence[Word]) -> tuple[Segment, ...]:
    """Return the segments of one or more words. What follows the words only changes the last one."""
    sentences = _split_at_sentences_and_pauses(words)
    return tuple(segment_of(part) for sentence in sentences for part in _split_to_limit(sentence))


def segment_of(words: Sequence[Word], speaker: str = "") -> Segment:
    """Return the segment that one or more words are."""
    tokens = [token for word in words for token in word.tokens]
    text = " ".join(word.written for word in words)
    return Segment(text, words[0].start_s, words[-1].end_s, tuple(words), *_ids_and_mean(tokens), speaker)


def _segment_without_words(transcript: Transcript, duration_s: float) -> tuple[Segment, ...]:
    """Return one segment for a text that is only punctuation, or no segment if the text is empty."""
    text = transcript.text.strip()
    if not text:
        return ()
    ((start_s, end_s),) = time_spans([transcript.tokens], duration_s)
    return (Segment(text, start_s, end_s, (), *_ids_and_mean(transcript.tokens)),)


def ends_sentence(text: str) -> bool:
    """Return whether a text that nothing follows ends with a sentence, and not with a word that may be abbreviated."""
    words = text.split()
    preceding = strip_marks(words[-2]) if len(words) > 1 else ""
    return bool(words) and _ends_sentence(preceding, words[-1], "")


def _ids_and_mean(tokens: Sequence[Token]) -> tuple[tuple[int, ...], float]:
    mean = math.fsum(token.logprob for token in tokens) / max(1, len(tokens))
    return tuple(token.id for token in tokens), mean


def _split_at_sentences_and_pauses(words: Sequence[Word]) -> list[list[Word]]:
    """Return words in groups that end after a sentence or at a pause."""
    groups = [[words[0]]]
    preceding = ""
    for word, following in pairwise(words):
        ends = _ends_sentence(preceding, word.written, following.written)
        if ends or following.start_s - word.end_s > PAUSE_S:
            groups.append([])
        groups[-1].append(following)
        preceding = word.text
    return groups


def _ends_sentence(preceding: str, written: str, following: str) -> bool:
    closed = written.rstrip(f"{QUOTES}{DASHES}'\u2019 ")
    if _GREEK_END.search(closed):
        return True
    if not closed.endswith((".", "?", "!", "\u2026")):
        return False
    return not (closed.endswith(".") and is_abbreviation(strip_marks(written), following, preceding))


def _split_to_limit(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Yield words in groups of at most `MAX_SEGMENT_S`. Only a single word may be longer."""
    first = 0
    while first < len(words) - 1 and words[-1].end_s - words[first].start_s > MAX_SEGMENT_S:
        cut = _cut_at_longest_pause(words, first)
        yield words[first:cut]
        first = cut
    yield words[first:]


def _cut_at_longest_pause(words: Sequence[Word], first: int) -> int:
    """Return the index of the word that begins the next segment: the one after the longest pause.

    The segment starts at `words[first]`. Only pauses in the second half of its maximum length count, so that no segment
    is very short.
    """
    start_s = words[first].start_s
    last = max(first + 1, bisect_right(words, start_s + MAX_SEGMENT_S, first, key=lambda word: word.end_s))
    halfway = bisect_left(words, start_s + MAX_SEGMENT_S / 2, first, last, key=lambda word: word.end_s)
    cuts = range(min(halfway + 1, last), last + 1)
    return max(cuts, key=lambda cut: (round(words[cut].start_s - words[cut - 1].end_s, 3), cut))
