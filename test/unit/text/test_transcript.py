"""The text that tokens spell; test/model holds it to NeMo's for all clips and pieces."""

import pytest

from src.text.transcript import UNKNOWN, WORD_START, Token, text_of


def text(*pieces: str) -> str:
    return text_of(Token(0, piece.replace("_", WORD_START), 0.0, 0.1, -0.1) for piece in pieces)


def test_pieces_join_to_words_and_words_are_parted_by_a_space():
    assert text("_Sep", "tem", "ber", "_is", "_here") == "September is here"
    assert text() == ""


def test_a_space_before_a_punctuation_mark_goes():
    assert text("_yes", "_", ",", "_no", "_.") == "yes, no."
    assert text("_a", "_+", "_b") == "a + b"


def test_bytes_are_the_characters_that_they_make_together():
    assert text("_", "<0xE2>", "<0x82>", "<0xAC>", "_5") == "\u20ac 5"
    assert text("<0xE2>", "a") == "\ufffda"


def test_what_the_tokenizer_cannot_spell_is_a_double_question_mark():
    assert text("_a", UNKNOWN, "_b") == "a \u2047  b"


@pytest.mark.parametrize("mark", [".", "?", "\u2026", ";", "\u00b7", "\u2019", "-"])
def test_marks_of_all_kinds_follow_their_word(mark):
    assert text("_a", "_" + mark) == "a" + mark


@pytest.mark.parametrize("mark", ["\u00bf", "\u00a1", "\u00ab", "\u201e", "\u201c", "\u2018", "\u00bb", "("])
def test_a_mark_that_may_open_something_keeps_its_space(mark):
    assert text("_a", "_" + mark, "b") == f"a {mark}b"
    assert text("_a", mark) == "a" + mark
