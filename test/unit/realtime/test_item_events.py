"""The events of an item, in their order."""

from collections.abc import Iterable
from typing import Any

import pytest
from made_transcripts import spoken_by
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


DIARIZE = {"model": "gpt-4o-transcribe-diarize"}


def test_who_names_the_model_that_tells_speakers_gets_a_segment_for_each_of_their_turns():
    asked = item(input_audio_transcription=DIARIZE)
    asked.label = spoken_by({0: "A", 0.08: "B"})
    end = received(completed(asked, TEXT, lambda kind: f"{kind}_1"))
    assert kinds(end) == ["delta", "segment", "segment", "completed"]
    assert [(event["speaker"], event["text"]) for event in end[1:3]] == [("A", "0"), ("B", "1 2")]
    assert (end[1]["end"], end[2]["start"]) == (0.08, 0.08)


def test_words_have_their_speaker_too_if_they_are_asked_for():
    asked = item(input_audio_transcription=DIARIZE | {"timestamp_granularities": ["word"]})
    asked.label = spoken_by({0: "A", 0.08: "B"})
    end = received(completed(asked, TEXT, lambda kind: f"{kind}_1"))
    assert [event["speaker"] for event in end[1:-1]] == ["A", "B", "A", "B", "B"]


def test_others_are_told_no_speakers():
    asked = item(input_audio_transcription={"timestamp_granularities": ["segment"]})
    end = received(completed(asked, TEXT, lambda kind: f"{kind}_1"))
    assert {event["speaker"] for event in end[1:-1]} == {""}
