"""The events of an item, in their order."""

from collections.abc import Iterable
from typing import Any

import pytest
from session_harness import NEW_ITEM, kinds, manual_client, read, speech, transcript, update

from src.errors import QueueFull
from src.realtime import events
from src.realtime.config import SessionConfig
from src.realtime.item_events import announced, completed, failed
from src.realtime.items import Item
from src.realtime.shown_text import ShownText

AUDIO = speech(0.24)
TEXT = transcript(AUDIO)


def config(**session: Any) -> SessionConfig:
    harness = manual_client()
    harness.send(update(session))
    return harness.session._config


def item(**session: Any) -> Item:
    return Item(ShownText("item_1"), AUDIO, config(**session), announced=True)


def received(sent: Iterable[events.ServerEvent]) -> list[dict[str, Any]]:
    return [event for event in map(read, sent) if isinstance(event, dict)]


@pytest.mark.parametrize("beta", [False, True])
def test_a_new_item_is_announced_as_its_dialect_has_it(beta):
    new = received(announced("item_2", "item_1", beta=beta))
    assert kinds(new) == (["committed", "conversation.item.created"] if beta else NEW_ITEM)
    assert {event["previous_item_id"] for event in new} == {"item_1"}
    assert all(event.get("item_id") == "item_2" or event["item"]["id"] == "item_2" for event in new)


def test_the_end_of_an_item_has_what_the_client_asked_for():
    asked = item(
        input_audio_transcription={"timestamp_granularities": ["word", "segment"]},
        include=["item.input_audio_transcription.logprobs"],
    )
    end = received(completed(asked, TEXT, lambda kind: f"{kind}_1"))
    assert kinds(end) == ["delta", *["segment"] * 4, "completed"]
    assert len(end[-1]["logprobs"]) == len(TEXT.tokens)
    assert end[-1]["usage"] == {"type": "duration", "seconds": 1}


def test_the_end_of_an_item_is_a_delta_and_its_text_for_all_others():
    end = received(completed(item(), TEXT, lambda kind: f"{kind}_1"))
    assert kinds(end) == ["delta", "completed"]
    assert end[0]["delta"] == end[1]["transcript"] == TEXT.text
    assert "logprobs" not in end[1]


def test_an_item_that_fails_says_why_and_leaves_no_hypothesis():
    broken = item()
    list(broken.shown.expect("Hello"))
    end = received(failed(broken, QueueFull("Full.")))
    assert kinds(end) == ["hypothesis", "failed"]
    assert end[0]["text"] == ""
    assert (end[1]["error"]["code"], end[1]["error"]["message"]) == ("queue_full", "Full.")
