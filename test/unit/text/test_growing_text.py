"""A text that grows token by token is at each time the text of all tokens so far."""

from hypothesis import given
from hypothesis import strategies as st

from src.text import growing_text
from src.text.growing_text import GrowingText
from src.text.transcript import Token, text_of

PIECES = st.sampled_from(
    [
        "\u2581",
        "\u2581the",
        "s",
        ".",
        "\u2581.",
        "\u2581_",
        "<unk>",
        "\u2581<unk>",
        "<0xE2>",
        "<0x82>",
        "<0x20>",
        "\u2581-x",
    ]
)
PARTS = st.lists(st.lists(PIECES, max_size=4), max_size=8)


def spelled(pieces: list[str]) -> list[Token]:
    return [Token(0, piece, 0.0, 0.0, 0.0) for piece in pieces]


@given(PARTS, st.lists(PIECES, max_size=4))
def test_it_is_the_text_of_all_tokens_so_far_and_of_those_that_may_follow(parts, following):
    growing, tokens = GrowingText(), []
    for part in map(spelled, parts):
        growing.add(part)
        tokens += part
        assert growing.text == text_of(tokens)
        assert growing.followed_by(spelled(following)) == text_of([*tokens, *spelled(following)])
        assert growing.text == text_of(tokens), "asking changes nothing"


def test_the_last_word_begins_where_the_model_begins_it():
    growing = GrowingText()
    assert list(growing.last_word) == []
    growing.add(spelled(["\u2581for", "ty", "\u2581min", "utes", "."]))
    assert [token.piece for token in growing.last_word] == ["\u2581min", "utes", "."]


def test_a_word_costs_the_same_after_an_hour_as_at_the_start(monkeypatch):
    written = []
    monkeypatch.setattr(growing_text, "text_added_by", lambda tokens: written.append(len(list(tokens))) or "x")
    growing = GrowingText()
    for _ in range(1000):
        growing.add(spelled(["\u2581for", "ty"]))
    assert max(written) <= 4
