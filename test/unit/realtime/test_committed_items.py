"""The committed items of a session: their order, and what becomes of each."""

import itertools
from collections.abc import Iterable
from typing import Any

from session_harness import NEW_ITEM, Read, kinds, manual_client, read, speech

from src.engine.windowing import Windowing
from src.errors import QueueFull
from src.realtime.committed_items import CommittedItems
from src.realtime.items import Item
from src.realtime.live import LiveTranscript
from src.realtime.outputs import ItemCommitted, ItemEnded, Output
from src.realtime.shown_text import ShownText
from src.text.transcript import Transcript

CONFIG = manual_client().session._config


def items() -> CommittedItems:
    numbers = itertools.count(1)
    return CommittedItems(beta=False, new_id=lambda kind: f"{kind}_{next(numbers)}")


def new(item_id: str, seconds: float = 1.0, *, announced: bool = True) -> Item:
    return Item(ShownText(item_id), speech(seconds), CONFIG, announced)


def put_out(outputs: Iterable[Output]) -> tuple[list[str], list[Read]]:
    """Return the kinds of the events, and the notices."""
    found = [read(each) for each in outputs]
    events: list[dict[str, Any]] = [each for each in found if isinstance(each, dict)]
    return kinds(events), [each for each in found if not isinstance(each, dict)]


def test_an_item_waits_until_it_has_its_text():
    committed = items()
    first, second = new("a", 1.0), new("b", 0.5)
    assert put_out(committed.add(first)) == (NEW_ITEM, [ItemCommitted("a", 1.0)])
    put_out(committed.add(second))
    assert committed.first is first
    assert (committed.audio_s, committed.unfinished) == (1.5, 2)
    assert put_out(committed.complete(first, Transcript("Hello."))) == (["delta", "completed"], [ItemEnded("a", None)])
    assert committed.first is second
    assert (committed.audio_s, committed.unfinished) == (0.5, 1)


def test_an_item_that_fails_has_ended():
    committed = items()
    item = new("a")
    put_out(committed.add(item))
    error = QueueFull("Full.")
    assert put_out(committed.fail(item, error)) == (["failed"], [ItemEnded("a", error)])
    assert committed.first is None


def test_an_item_that_is_not_announced_only_ends_its_response():
    committed = items()
    item = new("a", announced=False)
    assert put_out(committed.add(item)) == ([], [ItemCommitted("a", 1.0)])
    assert put_out(committed.create_response())[0] == ["response.created"]
    assert committed.unfinished == 2
    ended = put_out(committed.complete(item, Transcript("Hello.")))
    assert ended[0][0] == "response.output_text.delta"
    assert ended[1] == [ItemEnded("a", None)]
    assert committed.unfinished == 0


def test_an_id_is_taken_while_its_item_waits_even_if_that_was_deleted():
    committed = items()
    item = new("a")
    put_out(committed.add(item))
    committed.kept.delete("a")
    assert committed.is_taken("a")
    put_out(committed.complete(item, Transcript("Hello.")))
    assert not committed.is_taken("a")


def test_an_item_is_found_by_its_live_transcript():
    committed = items()
    item, live = new("a"), LiveTranscript(Windowing(0.32, 0.16, 0.08))
    put_out(committed.add(item))
    assert committed.with_live(live) is None
    item.live = live
    assert committed.with_live(live) is item
