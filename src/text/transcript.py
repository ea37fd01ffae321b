"""Transcripts: the tokens that the model emits, and their text. Times are seconds from the start of the clip."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

WORD_START = "\u2581"
"""SentencePiece puts this character before a piece that begins a word."""


class Token(NamedTuple):
    """A part of a word, or a punctuation mark, as the decoder emitted it."""

    id: int
    """Index in the tokenizer's vocabulary."""
    piece: str
    """SentencePiece's spelling, with `WORD_START` in front if it begins a word."""
    start_s: float
    end_s: float
    """End of the duration that TDT predicts for it; at least `start_s`."""
    logprob: float
    """Natural logarithm of the probability that the decoder gave it."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one clip, empty if nobody speaks, and the tokens that spell it."""

    text: str
    tokens: tuple[Token, ...] = ()


UNKNOWN = "<unk>"
"""SentencePiece's piece for characters that it cannot spell. Its text is a double question mark between spaces."""

_KEEP_SPACE = "\u00bf\u00a1\u00bb\u203a"
"""Marks that may begin a word, as "\u00bb" does in German; no space comes before one that ends it. Those of the Unicode
categories "Ps" and "Pi" are others."""
_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_SPACE_BEFORE_MARK = re.compile(r"\s([^\w\s\u2047]|_)")  # the double question mark keeps its space


def text_of(tokens: Iterable[Token]) -> str:
    """Return the text that tokens spell, as NeMo writes it.

    NeMo decodes the pieces as SentencePiece does, including bytes in the form `<0xE2>`, and removes a space before a
    punctuation mark (NeMo's `AbstractRNNTDecoding.decode_tokens_to_str_with_strip_punctuation`). It does so before
    quotation marks and marks that open something, too. Here they keep it: "Hola, \u00bfqu\u00e9 tal?"
    """
    return _written(_joined(tokens).lstrip(WORD_START))


def text_added_by(tokens: Iterable[Token]) -> str:
    """Return what tokens, the first of which begins a word, add to a text that is not empty: `text_of` of all tokens is
    that text and this one."""
    return _written(_joined(tokens))


def _joined(tokens: Iterable[Token]) -> str:
    pieces = "".join([token.piece for token in tokens])
    return _BYTES.sub(_decode_bytes, pieces) if "<0x" in pieces else pieces


def _written(pieces: str) -> str:
    text = pieces.replace(WORD_START, " ").replace(UNKNOWN, " \u2047 ")
    return _SPACE_BEFORE_MARK.sub(_strip_space, text)


def _decode_bytes(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("<0x", "").replace(">", "")).decode(errors="replace")


def _strip_space(match: re.Match[str]) -> str:
    category = unicodedata.category(match[1])
    keeps_space = category in ("Ps", "Pi") or match[1] in _KEEP_SPACE
    return match[1] if category.startswith("P") and not keeps_space else match[0]
