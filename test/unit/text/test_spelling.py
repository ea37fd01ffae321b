"""The text of tokens, and words without the punctuation around them."""

import pytest

from src.text.spelling import spelling, strip_marks
from src.text.transcript import UNKNOWN, WORD_START, Token


@pytest.mark.parametrize(
    ("piece", "text"),
    [(WORD_START + "tree", " tree"), ("s", "s"), (".", "."), (UNKNOWN, " \u2047 "), (WORD_START, " ")],
)
def test_a_token_that_begins_a_word_has_a_space_before_it(piece, text):
    assert spelling(Token(0, piece, 0, 1, -0.1)) == text


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ("tree.", "tree"),
        ('"No!"', "No"),
        ("o'clock", "o'clock"),
        ("29.43,", "29.43"),
        ("U.S.", "U.S."),
        ("U.S.?", "U.S."),
        ("etc.", "etc"),
        ("-5", "-5"),
        (".5", ".5"),
    ],
)
def test_marks_around_a_word_are_taken_off_and_those_inside_it_stay(written, bare):
    assert strip_marks(written) == bare


@pytest.mark.parametrize("written", ["", "-", "...", "''", "\u2019", "(?!)"])
def test_what_is_only_marks_is_no_word(written):
    assert strip_marks(written) == ""
