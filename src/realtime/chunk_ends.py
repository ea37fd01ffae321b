"""Where the chunk of a step ends: between words, once enough audio follows them.

Two windows may put a token into frames that differ by one. A chunk that ended there would lose the token or decode it
twice, so chunks end in the gaps between words that the last look at the right context has shown.

A word that looks agree on needs less audio after it (local agreement: Liu et al., https://arxiv.org/abs/2005.11185).
The step that decodes it is the last of these looks: if it makes something else of the word, its chunk does not count.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

from src.engine.frames import FRAME_SECONDS, nearest_frames
from src.engine.windowing import Windowing
from src.text.transcript import WORD_START, Token

AGREED_LOOKS = 1
"""Looks in a row that must agree on a word, besides the step that decodes it."""
AGREED_RIGHT_S = 0.48
"""Seconds of audio that must follow an agreed word in the last of these looks."""
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
        self._looks: deque[Sequence[Token]] = deque(maxlen=AGREED_LOOKS)
        self._seen_frames = 0

    def add(self, tokens: Sequence[Token], seen_frames: int) -> None:
        """Add a look: the tokens after the decoded part, up to frame `seen_frames`."""
        self._looks.append(tokens)
        self._seen_frames = seen_frames

    def next_end(self, decoded_frames: int, frames: int) -> ChunkEnd:
        """Return where the next chunk ends if `frames` of the utterance are there. `decoded_frames`: nowhere yet."""
        looks = [[token for token in look if _first_frame(token) >= decoded_frames] for look in self._looks]
        in_time = self._with_right_context(looks, decoded_frames, frames)
        agreed = self._agreed(looks)
        return agreed if agreed and agreed.frame > in_time.frame else in_time

    def _with_right_context(self, looks: Sequence[Sequence[Token]], decoded_frames: int, frames: int) -> ChunkEnd:
        """Return the last end that has its whole right context."""
        latest = frames - self._windowing.right_frames
        least = self._windowing.chunk_frames if decoded_frames else self._windowing.first_frames
        if latest - decoded_frames >= least or (looks and not looks[-1] and latest > decoded_frames):
            return ChunkEnd(latest)  # long overdue, or silence
        if not looks or not decoded_frames:
            return ChunkEnd(decoded_frames)
        gaps = [frame for _, frame in self._gaps(looks[-1]) if frame <= latest]
        return ChunkEnd(max(gaps, default=decoded_frames))

    def _agreed(self, looks: Sequence[Sequence[Token]]) -> ChunkEnd | None:
        """Return the last end before which the looks agree."""
        if len(looks) < AGREED_LOOKS:
            return None
        same_ids = (len({token.id for token in same}) == 1 for same in zip(*looks, strict=False))
        agreed = sum(1 for _ in takewhile(bool, same_ids))
        latest = self._seen_frames - nearest_frames(AGREED_RIGHT_S)
        ends = [(number, frame) for number, frame in self._gaps(looks[-1]) if number <= agreed and frame <= latest]
        if not ends:
            return None
        number, frame = ends[-1]
        return ChunkEnd(frame, tuple(token.id for token in looks[-1][:number]))

    def _gaps(self, tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
        """Yield the number of tokens before each gap between words, and the frame where a chunk may end there."""
        for number, (token, following) in enumerate(zip_longest(tokens, tokens[1:]), 1):
            start = _first_frame(token)
            if following is None:
                end = math.ceil(round(token.end_s / FRAME_SECONDS, 3))
                if self._seen_frames - end >= REST_FRAMES:
                    yield number, max(end, start) + 1
            elif following.piece.startswith(WORD_START):
                gap = _first_frame(following) - start
                if gap >= MIN_GAP_FRAMES:
                    yield number, start + max(1, round(gap * GAP_SHARE))


def _first_frame(token: Token) -> int:
    return round(token.start_s / FRAME_SECONDS)
