"""Words of a transcript, with times from its tokens.

A word is the text between two spaces, and its times are those of the tokens that spell it. Punctuation tokens do not
count: the decoder often emits them late, after the pause that follows the word (NeMo corrects their times too,
`_refine_timestamps_tdt`). Tokens lie on the encoder's grid of 80 ms frames, so two words may start in the same frame
and a word may have no duration. Here every word gets a time span of its own.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from src.text.spelling import is_opening, spelling, strip_marks
from src.text.transcript import Token, Transcript

MIN_WORD_MS = 80
"""Minimum length of a word if there is room for it: one encoder frame, the resolution of all times."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its start and end, in seconds from the start of the clip."""

    text: str
    """The word without the punctuation around it: "tree", but "o'clock", "29.43" and "U.S."."""
    written: str
    """The word with its punctuation ("tree."). All words as `written`, joined with spaces, are the text."""
    start_s: float
    end_s: float
    logprob: float
    """Natural logarithm of the joint probability of its tokens with letters or digits."""
    tokens: tuple[Token, ...]
    """The tokens that spell it, including its punctuation."""


def words_of(transcript: Transcript, duration_s: float) -> tuple[Word, ...]:
    """Return all words of a clip of `duration_s`, in order.

    Times are monotonic and within the clip, and words do not overlap. A mark that stands alone ("-") is not a word: it
    is `written` with the word before it, or after it if it opens something.
    """
    spans = _word_spans(transcript.text)
    parts = _tokens_by_word(transcript, spans)
    times = time_spans(parts, duration_s)
    return tuple(
        _word(" ".join(transcript.text[slice(*span)].split()), start_s, end_s, tokens)
        for span, tokens, (start_s, end_s) in zip(spans, parts, times, strict=True)
    )


def time_spans(parts: Sequence[Sequence[Token]], duration_s: float) -> list[tuple[float, float]]:
    """Return the start and end of each group of tokens in seconds, in order and without overlaps; see `words_of`."""
    return _without_overlaps(_token_times(parts), duration_s)


def _word(written: str, start_s: float, end_s: float, tokens: Sequence[Token]) -> Word:
    logprob = math.fsum(token.logprob for token in _spoken_tokens(tokens))
    return Word(strip_marks(written), written, start_s, end_s, logprob, tuple(tokens))


def _word_spans(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each word in `text`.

    A mark that stands alone belongs to the word before it, or to the one after it if it opens something.
    """
    spans: list[tuple[int, int]] = []
    opening: int | None = None
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        if strip_marks(match[0]):
            spans.append((start if opening is None else opening, end))
            opening = None
        elif spans and opening is None and not is_opening(match[0]):
            spans[-1] = (spans[-1][0], end)
        elif opening is None:
            opening = start
    if opening is not None and spans:
        spans[-1] = (spans[-1][0], len(text.rstrip()))
    return spans


def _tokens_by_word(transcript: Transcript, spans: Sequence[tuple[int, int]]) -> list[list[Token]]:
    """Return the tokens of each word. Every token of the transcript belongs to one word, in order.

    Each token is searched for in the text, because the text does not have all spaces of the tokens (NeMo removes those
    before punctuation). A token that is not found belongs to the next word.
    """
    text = transcript.text
    parts: list[list[Token]] = [[] for _ in spans]
    place, word, missed = 0, 0, 0
    for token in transcript.tokens if spans else ():
        piece = spelling(token).strip()
        place = _skip_space(text, place)
        # Each token that was not found may have added a character and a space, so the search goes that much further.
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


def _spoken_tokens(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the tokens with a letter or digit, or all tokens if there are none of those."""
    spoken = [token for token in tokens if any(character.isalnum() for character in spelling(token))]
    return spoken or tokens


def _token_times(parts: Sequence[Sequence[Token]]) -> list[tuple[float, float]]:
    """Return the start and end of each word's tokens. A word without tokens has no length and follows at once."""
    times: list[tuple[float, float]] = []
    end_s = 0.0
    for tokens in parts:
        spoken = _spoken_tokens(tokens)
        start_s = spoken[0].start_s if spoken else end_s
        end_s = max((token.end_s for token in spoken), default=end_s)
        times.append((start_s, end_s))
    return times


def _without_overlaps(times: Sequence[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    """Return the starts and ends of words in order, within the clip and without overlaps.

    Each word is at least `MIN_WORD_MS` long if there is room. All times are whole milliseconds, so that no later
    rounding changes their order.
    """
    clip_ms = math.floor(round(duration_s * 1000, 3))
    latest = max(0, clip_ms - MIN_WORD_MS)
    starts = list(accumulate((min(max(round(start_s * 1000), 0), latest) for start_s, _ in times), max))
    spans: list[tuple[int, int]] = []
    for start, same in groupby(range(len(times)), lambda index: starts[index]):
        group = list(same)
        limit = starts[group[-1] + 1] if group[-1] + 1 < len(times) else clip_ms
        tokens_end = round(max(times[index][1] for index in group) * 1000)
        end = min(limit, max(tokens_end, start + MIN_WORD_MS * len(group)))
        step = min(MIN_WORD_MS, (end - start) // len(group))
        spans.extend(pairwise([*(start + step * number for number in range(len(group))), end]))
    return [(start / 1000, end / 1000) for start, end in spans]
