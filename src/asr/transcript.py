"""What the model heard: tokens, the words that they spell, and the text. Times are seconds from the clip's start."""

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
