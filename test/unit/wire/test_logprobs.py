"""Tokens with their log probabilities."""

import math

import pytest

from src.text.transcript import UNKNOWN, WORD_START, Token
from src.wire.logprobs import MIN_LOGPROB, finite_logprob, logprobs_of


def token(piece: str, logprob: float = -0.25) -> Token:
    return Token(0, piece, 0.0, 0.1, logprob)


def test_tokens_joined_are_the_text_after_a_space():
    found = logprobs_of(map(token, [WORD_START + "na", "\u00efve", WORD_START + "tree", ".", UNKNOWN]))
    assert "".join(each["token"] for each in found) == " na\u00efve tree. \u2047 "
    assert [bytes(each["bytes"]).decode() for each in found] == [each["token"] for each in found]


def test_a_byte_of_a_character_is_that_byte():
    assert [each["bytes"] for each in logprobs_of(map(token, ["<0xE2>", "<0x82>", "<0xAC>"]))] == [
        [0xE2],
        [0x82],
        [0xAC],
    ]


def test_the_same_piece_has_its_own_probability_each_time():
    found = logprobs_of([token("a", -0.5), token("a", -1.5)])
    assert [each["logprob"] for each in found] == [-0.5, -1.5]


@pytest.mark.parametrize(
    ("logprob", "written"),
    [(-0.12345678, -0.123457), (1e-9, 0.0), (-math.inf, MIN_LOGPROB), (math.nan, MIN_LOGPROB), (-1e6, MIN_LOGPROB)],
)
def test_a_log_probability_is_a_finite_number_of_at_most_0(logprob, written):
    assert finite_logprob(logprob) == written
