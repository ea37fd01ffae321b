"""Lists of keywords without a tokenizer: their case variants."""

import pytest

from src.engine.decoder.keyword_lists import case_variants


@pytest.mark.parametrize(
    ("phrase", "forms"),
    [
        ("Anna", {"Anna"}),
        ("iPhone", {"iPhone"}),
        ("new  york ", {"new york", "New york", "New York"}),
        ("42", {"42"}),
        ("", {""}),
    ],
)
def test_a_phrase_without_capitals_is_also_tried_with_them(phrase, forms):
    assert case_variants(phrase) == forms
