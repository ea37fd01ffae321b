"""When successive looks at the right context agree, their text is settled before its right context is complete.

This is the local agreement of streaming speech recognition (Liu et al., https://arxiv.org/abs/2005.11185).
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from src.engine.frames import FRAME_SECONDS
from src.text.transcript import WORD_START, Token


class Agreement:
    """The last looks at what follows the decoded part of an utterance.

    Args:
        looks: how many successive looks must agree.
        right_frames: frames that must follow a word before it can be settled.
    """

    def __init__(self, looks: int, right_frames: int) -> None:
        self._right_frames = right_frames
        self._looks: deque[Sequence[Token]] = deque(maxlen=looks)
        self._seen_frames = 0

    def add(self, tokens: Sequence[Token], seen_frames: int) -> None:
        """Add a look: the tokens of the right context, which ends at frame `seen_frames`."""
        self._looks.append(tokens)
        self._seen_frames = seen_frames

    def settled_frame(self, decoded_frames: int) -> int:
        """Return the frame before which the next step may decode; `decoded_frames` if nothing more is settled."""
        if len(self._looks) < (self._looks.maxlen or 0):
            return decoded_frames
        looks = [[token for token in look if _first_frame(token) >= decoded_frames] for look in self._looks]
        newest = looks[-1]
        agreed = sum(
            1 for _ in takewhile(lambda same: len({token.id for token in same}) == 1, zip(*looks, strict=False))
        )
        limit = self._seen_frames - self._right_frames
        settled = [number for number in range(1, agreed + 1) if self._is_settled(newest, number, limit)]
        return max(decoded_frames, _frame_after(newest, settled[-1])) if settled else decoded_frames

    def _is_settled(self, tokens: Sequence[Token], number: int, limit: int) -> bool:
        """Return whether the first `number` tokens end a word, at `limit` at the latest."""
        followed = number < len(tokens) and tokens[number].piece.startswith(WORD_START)
        return _end_frame(tokens[number - 1]) <= limit and (followed or number == len(tokens))


def _first_frame(token: Token) -> int:
    return round(token.start_s / FRAME_SECONDS)


def _end_frame(token: Token) -> int:
    return math.ceil(round(token.end_s / FRAME_SECONDS, 3))


def _frame_after(tokens: Sequence[Token], number: int) -> int:
    """Return the frame at which a step ends that shall decode the first `number` tokens, and no more."""
    last = tokens[number - 1]
    end = max(_end_frame(last), _first_frame(last) + 1)
    following = _first_frame(tokens[number]) if number < len(tokens) else end
    return max(_first_frame(last) + 1, min(end, following))
