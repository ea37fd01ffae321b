"""Who has a slot, and whose slot goes to another."""

import asyncio

import pytest

from src.errors import QueueFull, ShuttingDown, UploadTooSlow
from src.scheduling.admissions import Admissions
from src.scheduling.job_queue import JobQueue


def admissions(slots: int) -> tuple[Admissions, JobQueue]:
    queue = JobQueue(slots=slots, max_batch=8, max_batch_audio_s=60.0, max_audio_s=60.0)
    return Admissions(queue, retry_after_s=7), queue


async def scope() -> asyncio.Timeout:
    """A scope that has been entered, so that it can be ended."""
    entered = asyncio.timeout(None)
    await entered.__aenter__()
    return entered


async def test_a_request_holds_a_slot_until_it_is_removed():
    requests, queue = admissions(2)
    first = requests.add("me", await scope(), 0.0, is_owed=False)
    requests.add(None, await scope(), 0.0, is_owed=True)
    assert (len(requests), requests.uploads, queue.held) == (2, 1, 2)
    requests.remove(first)
    assert (len(requests), requests.uploads, queue.held) == (1, 0, 1)


async def test_without_a_slot_a_request_is_told_when_to_try_again():
    requests, _ = admissions(1)
    requests.add(None, await scope(), 0.0, is_owed=False).body_received()
    with pytest.raises(QueueFull) as refused:
        requests.reserve_slot(None, 100.0)
    assert refused.value.headers == {"Retry-After": "7"}


async def test_the_slot_of_an_upload_that_has_stalled_goes_to_another_and_it_ends_with_the_reason():
    requests, queue = admissions(2)
    stalled = requests.add(None, await scope(), 0.0, is_owed=False)
    fast = requests.add(None, await scope(), 0.0, is_owed=False)
    fast.upload.add(1_000_000, 9.9)
    requests.reserve_slot(None, 10.0)
    assert isinstance(stalled.ended_with, UploadTooSlow)
    assert stalled.scope.when() == 10.0
    assert fast.ended_with is None
    requests.remove(stalled)
    assert queue.held == 2, "its slot was given away once"


async def test_all_can_be_ended_at_once():
    requests, _ = admissions(3)
    all_of_them = [requests.add(None, await scope(), 0.0, is_owed=False) for _ in range(3)]
    requests.end_all(ShuttingDown("bye"), 5.0)
    assert [(type(each.ended_with), each.scope.when()) for each in all_of_them] == [(ShuttingDown, 5.0)] * 3
