"""Merging the transcripts of a recording's chunks, one chunk after the other, into one transcript.

Chunks that only touch are put one after the other. Chunks that overlap both have the words of the overlap, and each is
least reliable at its own edge. They are joined in the pause around their seam, if there is one, else at a word that
both have at the same time, as near to the seam as possible. Each word is taken whole from one chunk or the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from src.audio.chunking import Chunk
from src.text.transcript import Token, Transcript
from src.text.words import Word, words_of

SAME_TIME_S = 0.25
"""A word that two chunks share starts within this time in both. That is three frames: each chunk has its own frame grid
and its own context."""

QUIET_S = 0.12
"""Chunks agree on a pause around their seam if neither has a word so near to it. Cuts are made in pauses of 0.3 s."""


class TranscriptDelta(NamedTuple):
    """A part of a recording's transcript that is final. The texts of all deltas, concatenated, are the whole text."""

    tokens: tuple[Token, ...]
    text: str


class Merger:
    """Takes the transcripts of chunks in order, and returns each part of the whole as soon as it is final."""

    def __init__(self) -> None:
        self._pending: list[Word] = []  # words in the overlap with the next chunk
        self._shares_pause = False
        self._has_text = False
        self._last_start_s = 0.0

    def add(self, chunk: Chunk, transcript: Transcript) -> TranscriptDelta:
        """Add the next chunk, with times in `transcript` from the start of the chunk, and return what becomes final."""
        overlap_s = 2 * (chunk.end_s - chunk.to_s)
        if not (self._pending or overlap_s or self._shares_pause):
            return self._delta(_shift(transcript.tokens, chunk.start_s), transcript.text)
        words = _join(self._pending, _words_in_recording(chunk, transcript), chunk.from_s, self._shares_pause)
        self._shares_pause = chunk.shares_pause
        final = len(words)
        while overlap_s and final and words[final - 1].end_s > chunk.end_s - overlap_s:
            final -= 1
        self._pending = words[final:]
        return self._delta_of_words(words[:final])

    def finish(self) -> TranscriptDelta:
        """Return the words that were kept for a next chunk."""
        pending, self._pending = self._pending, []
        return self._delta_of_words(pending)

    def _delta_of_words(self, words: Sequence[Word]) -> TranscriptDelta:
        return self._delta([token for word in words for token in word.tokens], " ".join(word.written for word in words))

    def _delta(self, tokens: Iterable[Token], text: str) -> TranscriptDelta:
        spaced = f" {text}" if text and self._has_text else text
        self._has_text = self._has_text or bool(text)
        return TranscriptDelta(tuple(map(self._in_order, tokens)), spaced)

    def _in_order(self, token: Token) -> Token:
        """Return the token, moved so that it does not start before the previous one, which may be in another chunk."""
        self._last_start_s = max(self._last_start_s, token.start_s)
        if token.start_s == self._last_start_s:
            return token
        return token._replace(start_s=self._last_start_s, end_s=max(self._last_start_s, token.end_s))


def join_deltas(deltas: Sequence[TranscriptDelta]) -> Transcript:
    """Return the transcript that all deltas make, in order."""
    return Transcript(
        "".join(delta.text for delta in deltas), tuple(token for delta in deltas for token in delta.tokens)
    )


def _words_in_recording(chunk: Chunk, transcript: Transcript) -> list[Word]:
    """Return the words of a chunk with times from the start of the recording."""
    words = words_of(transcript, chunk.end_s - chunk.start_s)
    by_s = chunk.start_s
    return [
        replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s, tokens=_shift(word.tokens, by_s))
        for word in words
    ]


def _shift(tokens: Iterable[Token], by_s: float) -> tuple[Token, ...]:
    """Return tokens that start and end `by_s` later."""
    if not by_s:  # short audio is a single chunk, and copying its tokens would be the slowest part of the merge
        return tuple(tokens)
    return tuple(token._replace(start_s=token.start_s + by_s, end_s=token.end_s + by_s) for token in tokens)


def _join(earlier: list[Word], later: list[Word], seam_s: float, shares_pause: bool) -> list[Word]:
    """Return the last words of a chunk and all words of the next one, without duplicates in their overlap.

    `seam_s` is the middle of the overlap, and `shares_pause` says whether it is in a pause.
    """
    if shares_pause and not any(_is_near(word, seam_s) for word in earlier + later):
        return [word for word in earlier if word.end_s < seam_s] + [word for word in later if word.start_s > seam_s]
    if not earlier or not later or later[0].start_s >= earlier[-1].end_s:
        return earlier + later
    shared = [
        pair for pair in product(range(len(earlier)), range(len(later))) if _is_same(earlier[pair[0]], later[pair[1]])
    ]
    if shared:
        left, right = min(shared, key=lambda pair: _join_cost_s(earlier[pair[0]], later[pair[1]], seam_s))
        return earlier[: left + 1] + later[right + 1 :]
    kept = [word for word in earlier if _middle_s(word) < seam_s]
    end_s = kept[-1].end_s if kept else 0.0
    return kept + [word for word in later if _middle_s(word) >= end_s]


def _is_near(word: Word, seam_s: float) -> bool:
    return word.start_s - QUIET_S < seam_s < word.end_s + QUIET_S


def _is_same(one: Word, other: Word) -> bool:
    return one.text.casefold() == other.text.casefold() and abs(one.start_s - other.start_s) < SAME_TIME_S


def _join_cost_s(one: Word, other: Word, seam_s: float) -> float:
    """Return how unsuitable a shared word is to join chunks at: its distance from the seam, plus the time between both.

    The second part finds the right pair if the same word is spoken several times in a row.
    """
    return abs(_middle_s(one) - seam_s) + abs(one.start_s - other.start_s)


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2
