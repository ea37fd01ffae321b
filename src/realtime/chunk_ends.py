"""Where the chunk of a step ends: between words, once enough audio follows them.

Two windows may put a token into frames that differ by one. A chunk that ended there would lose the token or decode it
twice, so chunks end in the gaps between words that the step before has seen in its right context.

A word that two steps agree on needs less audio after it (local agreement: Liu et al., https://arxiv.org/abs/2005.11185).
The second of them decodes it: if it makes something else of the word, its chunk does not count.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from src.engine.frames import FRAME_SECONDS
from src.engine.windowing import Windowing
from src.text.transcript import WORD_START, Token

MIN_GAP_FRAMES = 2
"""The least frames between the starts of two tokens for a chunk to end between them."""
GAP_SHARE = 0.3
"""Where in such a gap a chunk ends, as a share of it."""
REST_FRAMES = 5
"""Frames without a token after which the last word of a look is complete."""


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """Where a chunk may end, in frames from the start of the utterance."""

    frame: int
    expected: tuple[int, ...] | None = None
    """The ids of the tokens that the chunk must have to count; None: it counts in any case."""


class ChunkEnds:
    """The ends of an utterance's chunks, from the last looks at what follows the decoded part.

    Args:
        windowing: the lengths of chunks and contexts.
    """

    def __init__(self, windowing: Windowing) -> None:
        self._windowing = windowing
        self._look: Sequence[Token] | None = None
        self._seen_frames = 0

    def look(self, tokens: Sequence[Token], seen_frames: int) -> None:
        """Keep what a step has seen: the tokens after the decoded part, up to frame `seen_frames`."""
        self._look = tokens
        self._seen_frames = seen_frames

    def next_end(self, decoded_frames: int, frames: int) -> ChunkEnd:
        """Return where the next chunk ends if `frames` of the utterance are there. `decoded_frames`: nowhere yet."""
        latest = frames - self._windowing.right_frames
        least = self._windowing.chunk_frames if decoded_frames else self._windowing.first_frames
        is_silent = self._look is not None and not self._look
        if latest - decoded_frames >= least or (is_silent and latest > decoded_frames):
            return ChunkEnd(latest)
        gaps = list(self._gaps(self._look or ()))
        agreed = self._seen_frames - self._windowing.agreed_right_frames
        complete = [ChunkEnd(frame) for _, frame in gaps if frame <= latest and decoded_frames]
        expected = [ChunkEnd(frame, ids) for ids, frame in gaps if frame <= agreed]
        return max([ChunkEnd(decoded_frames), *complete[-1:], *expected[-1:]], key=lambda end: end.frame)

    def _gaps(self, tokens: Sequence[Token]) -> Iterator[tuple[tuple[int, ...], int]]:
        """Yield the ids of the tokens before each gap between words, and the frame where a chunk may end there."""
        ids: tuple[int, ...] = ()
        for token, following in zip_longest(tokens, tokens[1:]):
            ids += (token.id,)
            start = _first_frame(token)
            if following is None:
                end = math.ceil(round(token.end_s / FRAME_SECONDS, 3))
                if self._seen_frames - end >= REST_FRAMES:
                    yield ids, max(end, start) + 1
            elif following.piece.startswith(WORD_START):
                gap = _first_frame(following) - start
                if gap >= MIN_GAP_FRAMES:
                    yield ids, start + max(1, round(gap * GAP_SHARE))


def _first_frame(token: Token) -> int:
    return round(token.start_s / FRAME_SECONDS)
