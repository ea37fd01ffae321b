"""What a session puts out for its connection: notices of items, and work that is cancelled."""

from session_harness import (
    CLEAR,
    COMMIT,
    RESPOND,
    append,
    expected_text,
    manual_client,
    simple_client,
    speech,
    texts,
)

from src.errors import QueueFull
from src.realtime.outputs import Cancelled, ItemCommitted


def test_a_step_for_what_was_cleared_is_cancelled_once_and_shows_nothing():
    harness = manual_client()
    harness.send(append(speech(2.0)))
    work = harness.session.next_work()
    assert harness.cancelled == []
    harness.send(CLEAR)
    harness.send(CLEAR, append(speech(0.1)))
    assert harness.cancelled == [work]
    harness.drain()
    harness.run(work)
    assert harness.drain() == []


def test_a_live_step_is_cancelled_by_the_commit_of_an_item_that_is_transcribed_as_a_whole():
    harness = manual_client()
    harness.send(append(speech(2.0)))
    work = harness.session.next_work()
    harness.send(COMMIT)
    assert harness.cancelled == [work]
    harness.finish(work, Cancelled())
    assert texts(harness.run_all()) == [expected_text(speech(2.0))]


def test_a_step_that_an_item_needs_is_not_cancelled_by_its_commit_and_neither_is_an_items_own_work():
    harness = manual_client(final_from_stream=True)
    harness.send(append(speech(2.0)))
    harness.session.next_work()
    harness.send(COMMIT, CLEAR)
    assert harness.cancelled == []
    harness = manual_client()
    harness.send(append(speech(0.5)), COMMIT)
    item_id = harness.session.next_work().item.item_id
    harness.send(CLEAR, {"type": "conversation.item.delete", "item_id": item_id})
    assert harness.cancelled == []


def test_the_connection_is_told_of_each_items_commit_and_end():
    harness = simple_client(partials=False)
    harness.send(append(speech(0.5)), RESPOND)
    assert [type(notice) for notice in harness.notices] == [ItemCommitted]
    harness.fail_next(QueueFull("Full."))
    committed, ended = harness.notices
    assert committed.item_id == ended.item_id
    assert ended.error.code == "queue_full"
