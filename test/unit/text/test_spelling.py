"""The text of tokens, and words without the punctuation around them."""

import unicodedata

import pytest

from src.text.spelling import is_opening, readable_length, spelling, strip_marks
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


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        *(("«Bonjour»", "Bonjour"), ("„Ahoj!“", "Ahoj"), ("»Ja.«", "Ja"), ("¿Qué", "Qué"), ("¡Hola!", "Hola")),
        *(("είναι;", "είναι"), ("αργά·", "αργά"), ("αργά\u0387", "αργά"), ("Ναι\u037e", "Ναι"), ("‹Sì›", "Sì")),
        *(("l’aquila,", "l’aquila"), ("po’", "po’"), ("ta’", "ta’"), ("aujourd’hui.", "aujourd’hui"), ("‚so‘", "so")),
        *(("п'ять,", "п'ять"), ("Дніпро-1.", "Дніпро-1"), ("т.е.", "т.е."), ("col·legi", "col·legi"), ("―No", "No")),
    ],
)
def test_marks_of_other_languages_are_taken_off_too(written, bare):
    assert strip_marks(written) == bare


@pytest.mark.parametrize(
    ("marks", "opens"), [("«", True), ("¿¡", True), ("„", True), ("»", False), ("-", False), ("", False)]
)
def test_some_marks_belong_to_the_word_after_them(marks, opens):
    assert is_opening(marks) is opens


@pytest.mark.parametrize(
    ("text", "length"),
    [("plain", 5), ("žluťoučký", 9), (unicodedata.normalize("NFD", "žluťoučký"), 9), ("Ψωμί", 4), ("a\u00adb", 2)],
)
def test_an_accent_is_no_character_of_its_own(text, length):
    assert readable_length(text) == length
