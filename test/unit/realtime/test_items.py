"""Items: their length, and what the protocol shows of them."""

import numpy as np
import pytest
from session_harness import ITEM, fits, manual_client, speech

from src.realtime.items import Item, item_body


def test_an_item_is_as_long_as_its_samples():
    config = manual_client().session._config
    assert Item("item_1", speech(1.5), config, announced=True).audio_s == 1.5
    assert Item("item_1", np.zeros(0, np.float32), config, announced=True).audio_s == 0


@pytest.mark.parametrize("transcript", [None, "", "Hello."])
def test_the_body_of_an_item_has_the_form_of_the_protocol_and_its_transcript(transcript):
    body = item_body("item_1", transcript)
    assert fits(body, ITEM)
    assert body["id"] == "item_1"
    assert body["content"][0]["transcript"] == transcript
