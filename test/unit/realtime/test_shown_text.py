"""What a client sees of an item's text: deltas that stay, and a hypothesis after them."""

from session_harness import TRANSCRIPTION, Read, read

from src.realtime.shown_text import ShownText


def sent(events) -> list[tuple[str, str]]:
    """Return the kind and the text of each event."""
    return [_kind_and_text(read(event)) for event in events]


def _kind_and_text(event: Read) -> tuple[str, str]:
    assert isinstance(event, dict)
    assert event["item_id"] == "item_1"
    kind = event["type"].removeprefix(f"{TRANSCRIPTION}.")
    return kind, event["delta" if kind == "delta" else "text"]


def test_a_delta_is_what_the_text_has_more():
    shown = ShownText("item_1")
    assert sent(shown.extend("Set a")) == [("delta", "Set a")]
    assert sent(shown.extend("Set a")) == []
    assert sent(shown.extend("Set a timer")) == [("delta", " timer")]


def test_a_text_that_goes_otherwise_gives_no_delta():
    shown = ShownText("item_1")
    list(shown.extend("Set a"))
    assert sent(shown.extend("Said a timer")) == []
    assert sent(shown.extend("Set")) == []
    assert shown.text == "Set a"


def test_a_hypothesis_is_what_may_follow_the_deltas():
    shown = ShownText("item_1")
    list(shown.extend("Set a"))
    assert sent(shown.expect("Set a time")) == [("hypothesis", " time")]
    assert sent(shown.expect("Set a timer")) == [("hypothesis", " timer")]


def test_the_same_hypothesis_is_sent_once():
    shown = ShownText("item_1")
    assert sent(shown.expect("Set")) == [("hypothesis", "Set")]
    assert sent(shown.expect("Set")) == []


def test_a_delta_takes_words_from_the_hypothesis():
    shown = ShownText("item_1")
    list(shown.expect("Set a timer"))
    assert sent(shown.extend("Set a")) == [("delta", "Set a")]
    assert sent(shown.expect("Set a timer")) == [("hypothesis", " timer")]


def test_there_is_no_hypothesis_beside_deltas_that_it_does_not_follow():
    shown = ShownText("item_1")
    list(shown.extend("Set a"))
    assert sent(shown.expect("Said a timer")) == []
    list(shown.expect("Set a timer"))
    assert sent(shown.expect("Said a timer")) == [("hypothesis", "")]


def test_at_the_end_the_rest_is_a_delta_and_no_hypothesis_is_left():
    shown = ShownText("item_1")
    list(shown.expect("Set a"))
    assert sent(shown.settle("Set a timer.")) == [("delta", "Set a timer."), ("hypothesis", "")]
    assert sent(shown.settle("Set a timer.")) == []


def test_without_a_text_at_the_end_the_hypothesis_goes():
    shown = ShownText("item_1")
    list(shown.expect("Set a"))
    assert sent(shown.settle()) == [("hypothesis", "")]
    assert sent(ShownText("item_1").settle()) == []
