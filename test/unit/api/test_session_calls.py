"""Calls of a session by several tasks: one at a time, and what becomes of the outputs."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from src.api.session_calls import SessionCalls
from src.realtime.events import Cleared
from src.realtime.outputs import ItemEnded

ENDED = ItemEnded("item_1", None)


@pytest.fixture
def delivered():
    return []


@pytest.fixture
def calls(delivered):
    with ThreadPoolExecutor(2) as threads:
        yield SessionCalls("sess_0123456789abcdef", threads, delivered.append)


async def test_events_come_as_json_with_ids_that_count_and_notices_as_they_are(calls, delivered):
    await calls.now(lambda: [Cleared(), ENDED])
    await calls.in_thread(lambda: [Cleared()])
    (first, notice), (second,) = delivered
    assert notice is ENDED
    assert [json.loads(event)["event_id"] for event in (first, second)] == [
        "event_000001_0123456789",
        "event_000002_0123456789",
    ]


async def test_a_call_without_outputs_delivers_nothing(calls, delivered):
    await calls.now(list)
    await calls.in_thread(list)
    assert delivered == []


async def test_no_two_calls_overlap_and_each_is_delivered_before_the_next(calls, delivered):
    may_end = threading.Event()

    def wait(number):
        assert may_end.wait(60)
        return [number]

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.in_thread(wait, ENDED))
        await asyncio.sleep(0)
        second = tasks.create_task(calls.now(lambda: [ENDED] * len(delivered)))
        await asyncio.sleep(0.01)
        assert not second.done()
        assert calls.lock.locked()
        may_end.set()
    assert delivered == [[ENDED], [ENDED]]


async def test_who_makes_a_call_gets_its_error_and_the_session_can_be_called_again(calls, delivered):
    def fail():
        raise LookupError

    for call in (calls.now, calls.in_thread):
        with pytest.raises(LookupError):
            await call(fail)
    await calls.now(lambda: [ENDED])
    assert delivered == [[ENDED]]
