"""Words and segments: the text of a transcript with times, made from its tokens.

A word is what stands between two spaces of the text, so its times come from the tokens that spell it. Only letters and
digits are heard: a punctuation token has whatever time the decoder got round to it, often after the pause that follows
the word (NeMo moves such tokens too, `_refine_timestamps_tdt`), so it never counts. The same holds for the frame grid:
two words may begin in the same frame of 80 ms, and a word may have no length at all; both are mended here.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from src.text.transcript import UNKNOWN, WORD_START, Token, Transcript

MIN_WORD_MS = 80
"""What a word gets where there is room: one encoder frame, the grain of all times."""
PAUSE_S = 1.0
"""A pause that ends a segment. Within fluent speech pauses stay under a second; longer ones occur only between thoughts
of spontaneous speech (Campione and Veronis, "A Large-Scale Multilingual Study of Silent Pause Duration", 2002)."""
MAX_SEGMENT_S = 30.0
"""Whisper's window, which its segments never pass either."""

_QUOTES = '"\u201c\u201d\u201e\u00ab\u00bb()[]{}'
_DASHES = "-\u2013\u2014"
_MARKS = ".,?!;:\u2026\u00bf\u00a1"
_EDGE = re.escape(_QUOTES + _DASHES + _MARKS)
_BARE = re.compile(rf"(?:[-.](?=\d))?[^\s{_EDGE}](?:.*[^\s{_EDGE}])?", re.DOTALL)
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_TITLES = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g.", "i.e."})


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word and when it is heard, in seconds from the clip's start."""

    text: str
    """Without the punctuation around it ("tree"), with what is inside it or part of it ("o'clock", "29.43", "U.S.")."""
    written: str
    """As it stands in the text, punctuation included ("tree."). All of them, joined with spaces, are the text."""
    start_s: float
    end_s: float
    logprob: float
    """Natural logarithm of the probability of its letters, all together."""
    tokens: tuple[Token, ...]
    """What spells it, punctuation included."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or what is spoken between two pauses."""

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...]
    tokens: tuple[int, ...]
    """The ids of its tokens; those of all segments are those of the transcript."""
    avg_logprob: float
    """Mean of its tokens' log probabilities."""


def spelling(token: Token) -> str:
    """Return what a token adds to the text, with a space before it where it begins a word."""
    return " \u2047 " if token.piece == UNKNOWN else token.piece.replace(WORD_START, " ")


def words_of(transcript: Transcript, duration_s: float) -> tuple[Word, ...]:
    """Return the words of a clip of `duration_s`, in order.

    Each word of the text is there once. Times are monotonic, within the clip, and neighbours do not overlap. A mark
    that stands alone ("-") is no word; it is `written` with the word before it.
    """
    spans = _word_spans(transcript.text)
    parts = _tokens_by_word(transcript, spans)
    times = _settle(_heard(parts), duration_s)
    return tuple(
        _word(" ".join(transcript.text[slice(*span)].split()), start_s, end_s, tokens)
        for span, tokens, (start_s, end_s) in zip(spans, parts, times, strict=True)
    )


def segments_of(transcript: Transcript, duration_s: float) -> tuple[Segment, ...]:
    """Return the words of a clip of `duration_s` as segments, which end at sentences' ends, pauses, and 30 s at most.

    Their texts, joined with spaces, are the transcript's text.
    """
    words = words_of(transcript, duration_s)
    if not words:
        return _wordless(transcript, duration_s)
    return tuple(_segment(part) for stretch in _stretches(words) for part in _within_limit(stretch))


def _word(written: str, start_s: float, end_s: float, tokens: Sequence[Token]) -> Word:
    logprob = math.fsum(token.logprob for token in _sounding(tokens))
    return Word(_bare(written), written, start_s, end_s, logprob, tuple(tokens))


def _segment(words: Sequence[Word]) -> Segment:
    tokens = [token for word in words for token in word.tokens]
    text = " ".join(word.written for word in words)
    return Segment(text, words[0].start_s, words[-1].end_s, tuple(words), *_ids_and_mean(tokens))


def _wordless(transcript: Transcript, duration_s: float) -> tuple[Segment, ...]:
    """Return the segment of a text of nothing but punctuation, none if it is empty."""
    text = transcript.text.strip()
    if not text:
        return ()
    ((start_s, end_s),) = _settle(_heard([transcript.tokens]), duration_s)
    return (Segment(text, start_s, end_s, (), *_ids_and_mean(transcript.tokens)),)


def _ids_and_mean(tokens: Sequence[Token]) -> tuple[tuple[int, ...], float]:
    mean = math.fsum(token.logprob for token in tokens) / max(1, len(tokens))
    return tuple(token.id for token in tokens), mean


# Spelling: which characters are a word, and which tokens spell it.


def _bare(written: str) -> str:
    """Return a word without the punctuation around it, "" if it is nothing else."""
    match = _BARE.search(written)
    if match is None or not match[0].strip("'\u2019"):
        return ""
    if _DOTTED.fullmatch(match[0]) and written.startswith(".", match.end()):
        return f"{match[0]}."
    return match[0]


def _word_spans(text: str) -> list[tuple[int, int]]:
    """Return where in `text` each word is written, first character and end; stray marks join the word before them."""
    spans: list[tuple[int, int]] = []
    opening: int | None = None
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        if _bare(match[0]):
            spans.append((start if opening is None else opening, end))
            opening = None
        elif spans:
            spans[-1] = (spans[-1][0], end)
        elif opening is None:
            opening = start
    return spans


def _tokens_by_word(transcript: Transcript, spans: Sequence[tuple[int, int]]) -> list[list[Token]]:
    """Deal the tokens of a transcript out to its words, all of them and in order.

    The text leads, as the spaces in it are the tokenizer's affair (NeMo takes out those before punctuation). A token
    that the text does not have, or spells otherwise, goes to the word that is next.
    """
    text = transcript.text
    parts: list[list[Token]] = [[] for _ in spans]
    place, word, missed = 0, 0, 0
    for token in transcript.tokens if spans else ():
        piece = spelling(token).strip()
        place = _skip_space(text, place)
        # Tokens that were not found may stand for a character and a space each, beyond which this one continues.
        found = text.find(piece, place, place + len(piece) + 2 * missed)
        missed = missed + 1 if found < 0 else 0
        place = max(place, found)
        while word < len(spans) - 1 and spans[word][1] <= place:
            word += 1
        parts[word].append(token)
        place += len(piece) if found >= 0 else 0
    return parts


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


# Times.


def _sounding(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the tokens that are heard, those with a letter or digit, or all if there is none."""
    heard = [token for token in tokens if any(character.isalnum() for character in spelling(token))]
    return heard or tokens


def _heard(parts: Sequence[Sequence[Token]]) -> list[tuple[float, float]]:
    """Return when each word is heard by its tokens' times; one without tokens follows the word before it at once."""
    times: list[tuple[float, float]] = []
    end_s = 0.0
    for tokens in parts:
        heard = _sounding(tokens)
        start_s = heard[0].start_s if heard else end_s
        end_s = max((token.end_s for token in heard), default=end_s)
        times.append((start_s, end_s))
    return times


def _settle(times: Sequence[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    """Return starts and ends in order, without overlap, of at least a frame where there is room.

    They are whole milliseconds, so that nothing rounds them later, and none passes the clip's end.
    """
    clip_ms = math.floor(round(duration_s * 1000, 3))
    latest = max(0, clip_ms - MIN_WORD_MS)
    starts = list(accumulate((min(max(round(start_s * 1000), 0), latest) for start_s, _ in times), max))
    settled: list[tuple[int, int]] = []
    for start, same in groupby(range(len(times)), lambda index: starts[index]):
        group = list(same)
        limit = starts[group[-1] + 1] if group[-1] + 1 < len(times) else clip_ms
        heard_until = round(max(times[index][1] for index in group) * 1000)
        end = min(limit, max(heard_until, start + MIN_WORD_MS * len(group)))
        step = min(MIN_WORD_MS, (end - start) // len(group))
        settled.extend(pairwise([*(start + step * number for number in range(len(group))), end]))
    return [(start / 1000, end / 1000) for start, end in settled]


# Segments.


def _stretches(words: Sequence[Word]) -> list[list[Word]]:
    """Cut after each sentence and at each pause."""
    stretches = [[words[0]]]
    for word, following in pairwise(words):
        if _ends_sentence(word.written, following.written) or following.start_s - word.end_s > PAUSE_S:
            stretches.append([])
        stretches[-1].append(following)
    return stretches


def _ends_sentence(written: str, following: str) -> bool:
    closed = written.rstrip(f"{_QUOTES}{_DASHES} ")
    if not closed.endswith((".", "?", "!", "\u2026")):
        return False
    return not (closed.endswith(".") and _is_abbreviation(_bare(written), following))


def _is_abbreviation(bare: str, following: str) -> bool:
    """Whether the stop after `bare` may well belong to it: a title, an initial, dotted letters within a sentence."""
    if bare.lower() in _TITLES:
        return True
    if len(bare) == 1:
        return bare.isupper() and bare != "I"
    if _DOTTED.fullmatch(bare.removesuffix(".")):
        return bare.isupper() or not _bare(following)[:1].isupper()
    return False


def _within_limit(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Cut a stretch until no part is too long but a single word."""
    first = 0
    while first < len(words) - 1 and words[-1].end_s - words[first].start_s > MAX_SEGMENT_S:
        cut = _longest_pause(words, first)
        yield words[first:cut]
        first = cut
    yield words[first:]


def _longest_pause(words: Sequence[Word], first: int) -> int:
    """Return which word begins the next segment: the one after the longest pause.

    Only the second half of what may be a segment counts, so that no segment is a sliver.
    """
    start_s = words[first].start_s
    last = max(first + 1, bisect_right(words, start_s + MAX_SEGMENT_S, first, key=lambda word: word.end_s))
    halfway = bisect_left(words, start_s + MAX_SEGMENT_S / 2, first, last, key=lambda word: word.end_s)
    cuts = range(min(halfway + 1, last), last + 1)
    return max(cuts, key=lambda cut: (round(words[cut].start_s - words[cut - 1].end_s, 3), cut))
