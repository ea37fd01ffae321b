"""Tokens with their log probabilities, as OpenAI writes them over HTTP and WebSocket alike."""

import math
import re
from collections.abc import Iterable

from pydantic import BaseModel, Field, FiniteFloat

from src.asr.transcript import Token
from src.asr.words import spelling

LEAST_LOGPROB = -9999.0
"""What OpenAI writes for a token that is next to impossible (platform.openai.com, "Create chat completion"), as JSON
has no infinity."""


class TokenLogprob(BaseModel):
    """One token of the text. Joined, the tokens are the text after a space."""

    token: str = Field(description="What it spells, with the space before it.")
    logprob: FiniteFloat = Field(description="Natural logarithm of the probability that the decoder gave it.")
    bytes: list[int] = Field(description="The same in UTF-8.")


def logprobs_of(tokens: Iterable[Token]) -> list[TokenLogprob]:
    """Return tokens as OpenAI writes them."""
    return [_token_logprob(token) for token in tokens]


def finite_logprob(logprob: float) -> float:
    """Return a log probability that JSON can write: rounded, never above 0."""
    return round(max(LEAST_LOGPROB, min(0.0, logprob)), 6) if not math.isnan(logprob) else LEAST_LOGPROB


def _token_logprob(token: Token) -> TokenLogprob:
    byte = re.fullmatch("<0x([0-9A-F]{2})>", token.piece)
    data = bytes.fromhex(byte[1]) if byte else spelling(token).encode()
    return TokenLogprob(token=data.decode(errors="replace"), logprob=finite_logprob(token.logprob), bytes=list(data))
