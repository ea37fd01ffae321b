"""Lists of keywords without a model: case variants, and which lists are kept."""

from types import SimpleNamespace

import pytest

from src.engine.decoder.keyword_lists import KeywordLists, case_variants


@pytest.mark.parametrize(
    ("keyword", "variants"),
    [
        ("Anna", {"Anna"}),
        ("iPhone", {"iPhone"}),
        ("new  york ", {"new york", "New york", "New York"}),
        ("42", {"42"}),
        ("", {""}),
        ("jean-pierre", {"jean-pierre", "Jean-pierre", "Jean-Pierre"}),
        ("ijmuiden", {"ijmuiden", "Ijmuiden", "IJmuiden"}),
        ("Città", {"Città"}),
        ("śnieg", {"śnieg", "Śnieg"}),
        ("øst i", {"øst i", "Øst i", "Øst I"}),
        ("Київ", {"Київ"}),
        ("D'Arc", {"D'Arc", "D\u2019Arc"}),
        ("don\u2019t", {each.replace("'", mark) for each in ("don't", "Don't") for mark in "'\u2019"}),
        (
            "l'aquila",
            {
                each.replace("'", mark)
                for each in ("l'aquila", "L'aquila", "L'Aquila", "l'Aquila")
                for mark in "'\u2019"
            },
        ),
    ],
)
def test_a_keyword_without_capitals_is_also_tried_with_them(keyword, variants):
    assert case_variants(keyword) == variants


class Letters:
    """A tokenizer whose tokens are the letters from a to e; all others are unknown."""

    UNKNOWN = 5

    def unk_id(self) -> int:
        return self.UNKNOWN

    def encode(self, texts: list[str], num_threads: int) -> list[list[int]]:
        return [[min(max(ord(letter) - ord("a"), -1) % 6, self.UNKNOWN) for letter in text] for text in texts]


def lists(capacity: int) -> KeywordLists:
    return KeywordLists(SimpleNamespace(tokenizer=Letters()), 6, capacity)


def test_the_list_used_last_is_kept_longest():
    compiled = lists(2)
    one = compiled.tree(["ab"])
    compiled.tree(["cd"])
    assert compiled.tree(["ab"]) is one
    compiled.tree(["ea"])
    assert len(compiled) == 2
    assert [each in compiled for each in (["ab"], ["cd"], ["ea"])] == [True, False, True]


def test_the_order_of_keywords_does_not_matter():
    compiled = lists(2)
    assert compiled.tree(["ab", "cd"]) is compiled.tree(["cd", "ab", "cd"])
    assert ["cd", "ab"] in compiled


def test_keywords_that_the_tokenizer_cannot_spell_are_skipped():
    compiled = lists(2)
    assert compiled.tree(["xyz", "", "\ud800"]) is None
    assert compiled.tree(["xyz", "abe"]).tokens[6:].tolist() == [1, 4]
