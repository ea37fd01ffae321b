"""Items: their length, and what the protocol shows of them."""

import numpy as np
import pytest
from session_harness import ITEM, fits, manual_client, speech

from src.realtime.items import Item, Utterance, item_body
from src.realtime.shown_text import ShownText


def test_an_item_is_as_long_as_its_samples():
    config = manual_client().session._config
    assert Item(ShownText("item_1"), speech(1.5), config, announced=True).audio_s == 1.5
    assert Item(ShownText("item_1"), np.zeros(0, np.float32), config, announced=True).audio_s == 0


def test_an_item_has_the_id_of_its_utterance_and_what_was_shown_of_that():
    utterance = Utterance(ShownText("item_1", "Hello"))
    item = Item(utterance.shown, speech(1.0), manual_client().session._config, announced=True)
    assert item.item_id == utterance.item_id == "item_1"
    assert item.shown.text == "Hello"


@pytest.mark.parametrize("transcript", [None, "", "Hello."])
def test_the_body_of_an_item_has_the_form_of_the_protocol_and_its_transcript(transcript):
    body = item_body("item_1", transcript)
    assert fits(body, ITEM)
    assert body["id"] == "item_1"
    assert body["content"][0]["transcript"] == transcript
