"""How much of a growing text ends with a whole word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.realtime.whole_words import complete_words


@pytest.mark.parametrize(
    ("text", "rest", "complete"),
    [
        ("Set a timer for fif", "teen minutes", "Set a timer for"),
        ("Set a timer for fifteen", " minutes", "Set a timer for fifteen"),
        ("Set a timer for fifteen", "", "Set a timer for"),
        ("Yes", ", of course", "Yes"),
        ("Yes", ",", ""),
        ("Yes,", " of course", "Yes,"),
        ("3", ".5 degrees", ""),
        ("It", "'s", ""),
        ("He is so", "-called", "He is"),
        ("", " Yes", ""),
    ],
)
def test_a_word_counts_once_a_space_is_expected_after_it_and_its_marks(text, rest, complete):
    assert complete_words(text, rest, at_rest=False) == complete


def test_the_last_word_counts_if_nothing_is_expected_for_a_while():
    assert complete_words("Set a timer", "", at_rest=True) == "Set a timer"
    assert complete_words("Set a time", "r", at_rest=True) == "Set a"


@given(st.text(alphabet="ab ,'\u00a0\n"), st.text(alphabet="ab ,"), st.booleans())
def test_a_complete_text_begins_the_text_and_ends_where_a_word_ends(text, rest, at_rest):
    complete = complete_words(text, rest, at_rest)
    assert text.startswith(complete)
    assert complete == text or (text[len(complete)].isspace() and not complete[-1:].isspace()) or not complete
