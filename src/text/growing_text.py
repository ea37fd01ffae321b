"""The text of tokens that come one after the other, at the cost of its last word."""

from collections.abc import Iterable, Sequence

from src.text.transcript import WORD_START, Token, text_added_by, text_of


class GrowingText:
    """The text of all tokens so far, as `text_of` writes it. Only the last word is written again as it grows."""

    def __init__(self) -> None:
        self._before = ""  # the text before the last word, which later tokens do not change
        self._last: list[Token] = []
        self._text = ""

    @property
    def text(self) -> str:
        """The text of the tokens so far."""
        return self._text

    @property
    def last_word(self) -> Sequence[Token]:
        """The tokens of the last word; none if there are no tokens."""
        return self._last

    def add(self, tokens: Iterable[Token]) -> None:
        """Add the next tokens."""
        self._last += tokens
        starts = (place for place in range(len(self._last) - 1, 0, -1) if self._last[place].piece[:1] == WORD_START)
        start = next(starts, 0)
        before = self._before + self._written(self._last[:start])
        if before:
            self._before, self._last = before, self._last[start:]
        self._text = self.followed_by(())

    def followed_by(self, tokens: Iterable[Token]) -> str:
        """Return what the text would be with some more tokens."""
        return self._before + self._written([*self._last, *tokens])

    def _written(self, tokens: Iterable[Token]) -> str:
        return text_added_by(tokens) if self._before else text_of(tokens)
