"""The items that a client can look up."""

import pytest
from session_harness import read

from src.realtime.kept_items import MAX_ITEMS_KEPT, ItemNotFound, KeptItems


def transcript_of(kept: KeptItems, item_id: str) -> str | None:
    event = read(kept.retrieve(item_id))
    assert isinstance(event, dict)
    text: str | None = event["item"]["content"][0]["transcript"]
    return text


def test_an_item_has_no_transcript_before_it_has_a_text():
    kept = KeptItems()
    kept.add("item_1")
    assert transcript_of(kept, "item_1") is None
    kept.set_text("item_1", "Hello.")
    assert transcript_of(kept, "item_1") == "Hello."


def test_a_deleted_item_is_not_found_and_its_text_does_not_bring_it_back():
    kept = KeptItems()
    kept.add("item_1")
    assert kept.delete("item_1").item_id == "item_1"
    kept.set_text("item_1", "Hello.")
    assert "item_1" not in kept
    for look_up in (kept.retrieve, kept.delete):
        with pytest.raises(ItemNotFound) as caught:
            look_up("item_1")
        assert (caught.value.code, caught.value.param) == ("item_not_found", "item_id")


def test_the_oldest_item_is_forgotten_first():
    kept = KeptItems()
    for number in range(MAX_ITEMS_KEPT + 1):
        kept.add(f"item_{number}")
    assert "item_0" not in kept
    assert "item_1" in kept
    kept.set_text("item_0", "too late")
    assert "item_0" not in kept
