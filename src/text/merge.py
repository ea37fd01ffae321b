"""The transcripts of a recording's chunks as one transcript, in a stream.

Chunks that only touch are put one after the other. Where two overlap both have heard the same words, each worst at its
own edge; they are joined at a word that both have at the same time, as near to the seam as there is one. Words are
whole on one side or the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from src.audio.chunking import Chunk
from src.text.transcript import Token, Transcript
from src.text.words import Word, words_of

SAME_TIME_S = 0.25
"""Times of one word in two chunks differ by less, three frames: a chunk's frames are its own, and so is its context."""


class TranscriptDelta(NamedTuple):
    """What has become final of a recording's transcript. The texts of all pieces, put together, are its text."""

    tokens: tuple[Token, ...]
    text: str


class Merger:
    """Takes chunks' transcripts in the order of the chunks and gives out the recording's, as early as it is certain."""

    def __init__(self) -> None:
        self._held: list[Word] = []
        self._started = False
        self._reached_s = 0.0

    def add(self, chunk: Chunk, transcript: Transcript) -> TranscriptDelta:
        """Return what becomes final with this chunk; `transcript` has times from the chunk's beginning."""
        overlap_s = 2 * (chunk.end_s - chunk.to_s)
        if not self._held and not overlap_s:
            return self._piece(_moved(transcript.tokens, chunk.start_s), transcript.text)
        words = _joined(self._held, _words(chunk, transcript), chunk.from_s)
        certain = len(words)
        while overlap_s and certain and words[certain - 1].end_s > chunk.end_s - overlap_s:
            certain -= 1
        self._held = words[certain:]
        return self._said(words[:certain])

    def finish(self) -> TranscriptDelta:
        """Return what was waiting for a chunk that does not come."""
        held, self._held = self._held, []
        return self._said(held)

    def _said(self, words: Sequence[Word]) -> TranscriptDelta:
        return self._piece([token for word in words for token in word.tokens], " ".join(word.written for word in words))

    def _piece(self, tokens: Iterable[Token], text: str) -> TranscriptDelta:
        spaced = f" {text}" if text and self._started else text
        self._started = self._started or bool(text)
        return TranscriptDelta(tuple(map(self._in_order, tokens)), spaced)

    def _in_order(self, token: Token) -> Token:
        """Let a token begin no earlier than the one before it, across seams too."""
        self._reached_s = max(self._reached_s, token.start_s)
        if token.start_s == self._reached_s:
            return token
        return replace(token, start_s=self._reached_s, end_s=max(self._reached_s, token.end_s))


def merge(pieces: Iterable[tuple[Chunk, Transcript]]) -> Transcript:
    """Return the transcript of a recording from its chunks, in order, and their transcripts."""
    merger = Merger()
    found = [merger.add(chunk, transcript) for chunk, transcript in pieces]
    found.append(merger.finish())
    return join_deltas(found)


def join_deltas(pieces: Sequence[TranscriptDelta]) -> Transcript:
    """Return the transcript that pieces, in order, make."""
    return Transcript(
        "".join(piece.text for piece in pieces), tuple(token for piece in pieces for token in piece.tokens)
    )


def _words(chunk: Chunk, transcript: Transcript) -> list[Word]:
    """Return the words of a chunk with their times in the recording."""
    words = words_of(transcript, chunk.end_s - chunk.start_s)
    by_s = chunk.start_s
    return [
        replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s, tokens=_moved(word.tokens, by_s))
        for word in words
    ]


def _moved(tokens: Iterable[Token], by_s: float) -> tuple[Token, ...]:
    if not by_s:  # short audio, all of it one chunk: copies of tokens are the dearest part of its merging
        return tuple(tokens)
    return tuple(replace(token, start_s=token.start_s + by_s, end_s=token.end_s + by_s) for token in tokens)


def _joined(earlier: list[Word], later: list[Word], seam_s: float) -> list[Word]:
    """Return the last words of a chunk and all of the next, which overlap about `seam_s`, each word once."""
    if not earlier or not later or later[0].start_s >= earlier[-1].end_s:
        return earlier + later
    twice = [
        pair for pair in product(range(len(earlier)), range(len(later))) if _same(earlier[pair[0]], later[pair[1]])
    ]
    if twice:
        left, right = min(twice, key=lambda pair: _unfitness_s(earlier[pair[0]], later[pair[1]], seam_s))
        return earlier[: left + 1] + later[right + 1 :]
    kept = [word for word in earlier if _middle_s(word) < seam_s]
    reached_s = kept[-1].end_s if kept else 0.0
    return kept + [word for word in later if _middle_s(word) >= reached_s]


def _same(one: Word, other: Word) -> bool:
    return one.text.casefold() == other.text.casefold() and abs(one.start_s - other.start_s) < SAME_TIME_S


def _unfitness_s(one: Word, other: Word, seam_s: float) -> float:
    """How far from the seam and from each other two hearings of a word are; of equal words in a row, one is nearest."""
    return abs(_middle_s(one) - seam_s) + abs(one.start_s - other.start_s)


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2
