"""Tokens with their log probabilities, in the form that OpenAI uses both over HTTP and over the WebSocket."""

import math
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, FiniteFloat
from typing_extensions import TypedDict

from src.text.spelling import spelling
from src.text.transcript import Token

MIN_LOGPROB = -9999.0
"""OpenAI's value for an extremely unlikely token (platform.openai.com, "Create chat completion"), as JSON has no
infinity."""


class TokenLogprob(TypedDict):  # not a pydantic model: a response may have 40,000, which would take five times as long
    """One token of the text. All tokens, concatenated, are the text after a space."""

    token: Annotated[str, Field(description="What it spells, with the space before it.")]
    logprob: Annotated[FiniteFloat, Field(description="Natural logarithm of the probability that the decoder gave it.")]
    bytes: Annotated[list[int], Field(description="The same in UTF-8.")]


def logprobs_of(tokens: Iterable[Token]) -> list[TokenLogprob]:
    """Return tokens in OpenAI's form. Tokens with the same piece share one list of bytes."""
    by_piece: dict[str, tuple[str, list[int]]] = {}
    logprobs: list[TokenLogprob] = []
    for token in tokens:
        known = by_piece.get(token.piece)
        if known is None:
            known = by_piece[token.piece] = _text_and_bytes(token)
        text, data = known
        logprobs.append({"token": text, "logprob": finite_logprob(token.logprob), "bytes": data})
    return logprobs


def finite_logprob(logprob: float) -> float:
    """Return a log probability that JSON can represent: finite, at most 0, and rounded to 6 decimals."""
    return round(max(MIN_LOGPROB, min(0.0, logprob)), 6) if not math.isnan(logprob) else MIN_LOGPROB


def _text_and_bytes(token: Token) -> tuple[str, list[int]]:
    byte = re.fullmatch("<0x([0-9A-F]{2})>", token.piece)
    data = bytes.fromhex(byte[1]) if byte else spelling(token).encode()
    return data.decode(errors="replace"), list(data)
