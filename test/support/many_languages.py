"""Sentences in the 25 languages of Parakeet v3, and a tokenizer that was trained on them."""

import io
from functools import cache
from pathlib import Path

import sentencepiece

from src.text.transcript import Token

SENTENCES = Path(__file__).parents[1] / "golden" / "sentences"
LANGUAGES = tuple(sorted(path.stem for path in SENTENCES.glob("*.txt")))
PIECE_S = 0.08


@cache
def sentences(language: str) -> tuple[str, ...]:
    """The hundred sentences of a language."""
    return tuple((SENTENCES / f"{language}.txt").read_text().splitlines())


@cache
def tokenizer() -> sentencepiece.SentencePieceProcessor:
    """A SentencePiece tokenizer for all of them, of the kind that NVIDIA's checkpoints have; a second of CPU time."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([each for language in LANGUAGES for each in sentences(language)]),
        model_writer=written,
        model_type="bpe",
        vocab_size=1500,
        character_coverage=1.0,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def tokens_of(text: str, start_s: float = 0.0) -> tuple[Token, ...]:
    """The tokens of a text as a decoder would emit them, each of `PIECE_S`, one after the other."""
    pieces = tokenizer().encode(text, out_type=str)
    ids = tokenizer().encode(text)
    return tuple(
        Token(id, piece, start_s + number * PIECE_S, start_s + (number + 1) * PIECE_S, -0.1)
        for number, (id, piece) in enumerate(zip(ids, pieces, strict=True))
    )
