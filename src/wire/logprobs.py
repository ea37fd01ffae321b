"""Tokens with their log probabilities, as OpenAI writes them over HTTP and WebSocket alike."""

import math
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, FiniteFloat
from typing_extensions import TypedDict

from src.text.spelling import spelling
from src.text.transcript import Token

MIN_LOGPROB = -9999.0
"""What OpenAI writes for a token that is next to impossible (platform.openai.com, "Create chat completion"), as JSON
has no infinity."""


class TokenLogprob(TypedDict):
    """One token of the text. Joined, the tokens are the text after a space.

    A dictionary, as an answer may have 40,000 of them: models take five times as long to make.
    """

    token: Annotated[str, Field(description="What it spells, with the space before it.")]
    logprob: Annotated[FiniteFloat, Field(description="Natural logarithm of the probability that the decoder gave it.")]
    bytes: Annotated[list[int], Field(description="The same in UTF-8.")]


def logprobs_of(tokens: Iterable[Token]) -> list[TokenLogprob]:
    """Return tokens as OpenAI writes them; those that are spelled alike share their bytes."""
    spelled: dict[str, tuple[str, list[int]]] = {}
    logprobs: list[TokenLogprob] = []
    for token in tokens:
        known = spelled.get(token.piece)
        if known is None:
            known = spelled[token.piece] = _spelled(token)
        text, data = known
        logprobs.append({"token": text, "logprob": finite_logprob(token.logprob), "bytes": data})
    return logprobs


def finite_logprob(logprob: float) -> float:
    """Return a log probability that JSON can write: rounded, never above 0."""
    return round(max(MIN_LOGPROB, min(0.0, logprob)), 6) if not math.isnan(logprob) else MIN_LOGPROB


def _spelled(token: Token) -> tuple[str, list[int]]:
    byte = re.fullmatch("<0x([0-9A-F]{2})>", token.piece)
    data = bytes.fromhex(byte[1]) if byte else spelling(token).encode()
    return data.decode(errors="replace"), list(data)
