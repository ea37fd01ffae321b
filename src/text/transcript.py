"""What the model heard: tokens, the words that they spell, and the text. Times are seconds from the clip's start."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

WORD_START = "\u2581"
"""SentencePiece's mark before a piece that begins a word."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a word or a punctuation mark, as the decoder emitted it."""

    id: int
    """Its number in the tokenizer's vocabulary."""
    piece: str
    """Its spelling, with `WORD_START` where it begins a word."""
    start_s: float
    end_s: float
    """Where the duration that TDT predicts for it ends; at least `start_s`."""
    logprob: float
    """Natural logarithm of the probability that the decoder gave it."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one clip, empty where nobody speaks, and the tokens that spell it."""

    text: str
    tokens: tuple[Token, ...] = ()


UNKNOWN = "<unk>"
"""SentencePiece's piece for what it cannot spell; it prints it as a double question mark between spaces."""

_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_SPACE_BEFORE_MARK = re.compile(r"\s([^\w\s\u2047]|_)")  # the double question mark keeps its space


def text_of(tokens: Iterable[Token]) -> str:
    """Return the text that tokens spell, as NeMo writes it.

    That is SentencePiece's decoding, bytes in `<0xE2>` form included, without the one space that may stand before a
    punctuation mark (NeMo 3.0.0, `AbstractRNNTDecoding.decode_tokens_to_str_with_strip_punctuation`).
    """
    text = "".join([token.piece for token in tokens])
    if "<0x" in text:
        text = _BYTES.sub(_decoded, text)
    text = text.lstrip(WORD_START).replace(WORD_START, " ").replace(UNKNOWN, " \u2047 ")
    return _SPACE_BEFORE_MARK.sub(_mark, text)


def _decoded(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("<0x", "").replace(">", "")).decode(errors="replace")


def _mark(match: re.Match[str]) -> str:
    return match[1] if unicodedata.category(match[1]).startswith("P") else match[0]
