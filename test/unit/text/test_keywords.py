"""Keywords of a request, or of a prompt that lists them."""

import unicodedata
from itertools import islice, permutations

import pytest

from src.errors import InvalidRequest
from src.text.keywords import MAX_KEYWORD_LENGTH, MAX_KEYWORDS, MAX_PARTS, MAX_SPELLINGS, parse_keywords

ABOVE, BELOW = "\u0301", "\u0323"
"""Marks on a letter, which Unicode sorts: those below it first."""


def test_keywords_are_taken_once_each_and_a_prompt_beside_them_is_not():
    assert parse_keywords(["Anna", "New York", "Anna"], "Bob, Carol") == ("Anna", "New York")


@pytest.mark.parametrize("keywords", [[], [""], ["null"], ["None", " "]])
def test_where_none_is_set_the_prompt_counts(keywords):
    assert parse_keywords(keywords, "Anna, New York") == ("Anna", "New York")
    assert parse_keywords(keywords, None) == ()


@pytest.mark.parametrize(
    "prompt",
    ["Anna", "Hello, world.", "This is a talk, held in May, about the weather in Spain", "Anna,\nBob", "null", "", ","],
)
def test_a_prompt_that_is_no_list_has_no_keywords(prompt):
    assert parse_keywords([], prompt) == ()


@pytest.mark.parametrize("keywords", [["x"] + [str(number) for number in range(MAX_KEYWORDS)], ["x" * 101]])
def test_too_many_keywords_or_one_that_is_too_long_are_rejected(keywords):
    with pytest.raises(InvalidRequest, match="at most 100 phrases of at most 100 characters") as error:
        parse_keywords(keywords, None)
    assert error.value.param == "keywords"
    assert len(parse_keywords(["x" * MAX_KEYWORD_LENGTH], None)) == 1


@pytest.mark.parametrize("count", [100, 101, 999, 1000, 1001, 20_000])
def test_of_a_prompt_that_lists_too_much_the_first_hundred_are_taken(count):
    listed = parse_keywords([], ", ".join(f"Word{number}" for number in range(count)))
    assert listed == tuple(f"Word{number}" for number in range(100))


def test_of_a_prompt_what_is_too_long_is_dropped():
    long = "x" * 101
    assert parse_keywords([], f"Parakeet, {long}, NeMo, Parakeet") == ("Parakeet", "NeMo")
    assert parse_keywords([], f"{long}, {long}") == ()
    assert parse_keywords([], "y" * 1_000_000) == ()


def test_letters_with_accents_count_and_match_as_one_however_they_are_encoded():
    composed = "Ďurčanský"
    decomposed = unicodedata.normalize("NFD", composed)
    assert parse_keywords([decomposed, composed], None) == (composed,)
    assert parse_keywords([], f"{decomposed}, Łódź") == (composed, "Łódź")
    assert parse_keywords([unicodedata.normalize("NFD", "ř" * 100)], None) == ("ř" * 100,)
    ancient = "\u1f82" * 100  # each of four characters
    assert len(unicodedata.normalize("NFD", ancient)) == MAX_PARTS * MAX_KEYWORD_LENGTH
    assert parse_keywords([unicodedata.normalize("NFD", ancient)], None) == (ancient,)


def test_no_letter_has_more_parts():
    assert max(len(unicodedata.normalize("NFD", chr(code))) for code in range(0x110000)) == MAX_PARTS


def test_no_marks_are_sorted_in_what_is_too_long():
    marks = "a" + 5_000_000 * (ABOVE + BELOW)  # would take hours
    with pytest.raises(InvalidRequest):
        parse_keywords([marks], None)
    assert parse_keywords([], f"{marks}, Anna") == ("Anna",)


def test_nothing_is_composed_after_a_limit_is_broken(monkeypatch):
    composed = []

    def normalized(form, text):
        composed.append(text)
        return real(form, text)

    real = unicodedata.normalize
    monkeypatch.setattr("src.text.keywords.unicodedata.normalize", normalized)
    marks = [f"{number}{ABOVE * 200}" for number in range(10_000)]
    with pytest.raises(InvalidRequest):
        parse_keywords(marks, None)
    assert composed == marks[:1]
    composed.clear()
    kinds = "\u0301\u0323\u0327\u0345\u0338\u031b\u0360"  # of one letter in any order: all are one keyword
    spellings = ["a" + "".join(each) for each in islice(permutations(kinds), MAX_SPELLINGS + 1)]
    assert len(parse_keywords(spellings[:MAX_SPELLINGS], None)) == 1
    composed.clear()
    with pytest.raises(InvalidRequest):
        parse_keywords(spellings, None)
    assert len(composed) <= 1


@pytest.mark.parametrize("prompt", ["¿Anna, Bob", "Anna, Bob…", "¡Anna, Bob", "Άννα, Γιάννη\u037e", "Άννα, Γιάννη;"])
def test_marks_of_sentences_in_other_languages_make_prose_too(prompt):
    assert parse_keywords([], prompt) == ()
