"""How lanes take batches and run them, on a model that runs when the test says so (src.scheduling.lanes)."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fakes import clip, step
from scheduler_harness import VirtualModel, advancing, ask, asking, running, settled
from virtual_time import in_virtual_time, virtual_loop

from src.errors import ModelFailed, TranscriptionFailed
from src.scheduling.lanes import MAX_LANE_FAILURES, Lanes
from src.scheduling.scheduler import Scheduler
from src.settings import Settings


@in_virtual_time
async def test_batches_fill_to_the_maximum_while_the_model_is_busy():
    model = VirtualModel()
    async with running(model) as scheduler:
        first = asking(scheduler, clip(0))
        await model.next_started()
        rest = asking(scheduler, *(clip(number) for number in range(1, 20)))
        await settled()
        model.release_all()
        await asyncio.gather(*first, *rest)
    assert [len(batch) for batch in model.batches] == [1, 8, 8, 3]


@in_virtual_time
async def test_a_lone_request_starts_at_once_however_long_the_window():
    model = VirtualModel(held=False)
    async with running(model, microbatch_window_ms=3_600_000) as scheduler:
        outcome = await ask(scheduler, clip(7))
    assert (outcome.result.text, outcome.batch_size) == ("7", 1)


@in_virtual_time
async def test_an_idle_model_waits_for_a_request_that_is_on_its_way():
    model = VirtualModel(held=False)
    async with running(model, microbatch_window_ms=3_600_000) as scheduler, scheduler.admit() as still_uploading:
        first = asking(scheduler, clip(1))
        await settled()
        assert model.batches == []
        second = await scheduler.transcribe(still_uploading, clip(2))
        assert (await first[0]).batch_size == second.batch_size == 2


@in_virtual_time
async def test_the_wait_ends_when_the_request_on_its_way_leaves():
    model = VirtualModel(held=False)
    async with running(model, microbatch_window_ms=3_600_000) as scheduler:
        async with scheduler.admit():
            first = asking(scheduler, clip(1))
            await settled()
            assert model.batches == []
        assert (await first[0]).batch_size == 1


@in_virtual_time
async def test_the_wait_ends_with_the_window():
    model = VirtualModel(held=False)
    async with running(model, microbatch_window_ms=1) as scheduler, scheduler.admit():
        assert (await ask(scheduler, clip(1))).batch_size == 1


@pytest.fixture
def patient(monkeypatch):
    """Wait for the callers of a batch as long as the window, however short the batch was."""
    monkeypatch.setattr("src.scheduling.resubmissions.PATIENCE", 1e9)


@asynccontextmanager
async def two_who_take_turns(**settings):
    """A second caller has just got its answer. While its clip ran, a first one came again; that one waits alone."""
    model = VirtualModel(batch_s=1.0)
    async with running(model, **settings) as scheduler:
        [first] = asking(scheduler, clip(1))
        await model.next_started()
        [second] = asking(scheduler, clip(11))
        await settled()
        model.release()
        await first
        await model.next_started()
        [again] = asking(scheduler, clip(2))
        await settled()
        model.release()
        await second
        await settled()
        model.release_all()
        yield scheduler, again
    assert model.batches[:2] == [["1"], ["11"]]


@in_virtual_time
async def test_callers_who_take_turns_come_to_share_their_batches(patient):
    async with two_who_take_turns(microbatch_window_ms=3_600_000) as (scheduler, again):
        assert (await ask(scheduler, clip(12))).batch_size == (await again).batch_size == 2


@in_virtual_time
async def test_who_does_not_come_again_is_waited_for_no_longer_than_the_window(patient):
    async with two_who_take_turns(microbatch_window_ms=1) as (_, again):
        assert (await again).batch_size == 1


@in_virtual_time
async def test_who_does_not_come_again_is_waited_for_no_longer_than_a_part_of_the_batch():
    async with two_who_take_turns(microbatch_window_ms=3_600_000) as (_, again):
        assert (await again).batch_size == 1


@in_virtual_time
async def test_who_comes_after_a_batch_waits_for_none_of_it(patient):
    model = VirtualModel(held=False, batch_s=1.0)
    async with running(model, microbatch_window_ms=3_600_000) as scheduler:
        await asyncio.gather(*asking(scheduler, clip(1), clip(2)))
        after_s = virtual_loop().time()
        assert (await ask(scheduler, clip(3))).batch_size == 1
        assert virtual_loop().time() == after_s + 1.0


@in_virtual_time
async def test_only_the_poison_clip_of_a_batch_fails():
    model = VirtualModel()
    async with running(model) as scheduler:
        busy = asking(scheduler, clip(0))
        await model.next_started()
        batch = asking(scheduler, *(clip(number, poison=number == 5) for number in range(1, 9)))
        await settled()
        model.release_all()
        outcomes = await asyncio.gather(*busy, *batch, return_exceptions=True)
    assert isinstance(outcomes.pop(5), TranscriptionFailed)
    assert [outcome.result.text for outcome in outcomes] == ["0", "1", "2", "3", "4", "6", "7", "8"]


@in_virtual_time
async def test_the_scheduler_serves_on_after_a_poison_clip():
    async with running(VirtualModel(held=False)) as scheduler:
        with pytest.raises(TranscriptionFailed):
            await ask(scheduler, clip(1, poison=True))
        assert (await ask(scheduler, clip(2))).result.text == "2"


@pytest.mark.parametrize("lanes", [1, 2, 3])
@in_virtual_time
async def test_the_job_of_a_caller_that_left_never_reaches_the_model(lanes):
    model = VirtualModel()
    async with running(model, lanes=lanes, microbatch_max_batch=2, queue_max_factor=2) as scheduler:
        busy = asking(scheduler, clip(0), clip(1))
        await model.next_started()
        # With more than one lane a full batch is put together already, and must be put together again.
        leaving, staying, *rest = asking(scheduler, *(clip(number) for number in range(2, 6)))
        await settled()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        async with scheduler.admit():
            pass  # its slot is free again
        model.release_all()
        await asyncio.gather(*busy, staying, *rest)
    assert sorted(model.clips) == ["0", "1", "3", "4", "5"]


@in_virtual_time
async def test_steps_of_many_streams_share_batches_but_none_with_clips():
    model = VirtualModel()
    async with running(model, lanes=1) as scheduler:
        tasks: list[asyncio.Task[Any]] = [*asking(scheduler, clip(0))]
        await model.next_started()
        for number in range(1, 7):
            tasks += asking(scheduler, clip(number)) if number % 2 else advancing(scheduler, step(number))
            await settled()
        model.release_all()
        await asyncio.gather(*tasks)
    assert model.batches == [["0"], ["2", "4", "6"], ["1", "3", "5"]], "steps run ahead of uploads"


@in_virtual_time
async def test_only_the_poison_step_of_a_batch_fails():
    model = VirtualModel()
    async with running(model) as scheduler:
        busy = asking(scheduler, clip(0))
        await model.next_started()
        batch = advancing(scheduler, *(step(number, poison=number == 5) for number in range(1, 9)))
        await settled()
        model.release_all()
        await asyncio.gather(*busy)
        heard = await asyncio.gather(*batch, return_exceptions=True)
    assert isinstance(heard.pop(4), TranscriptionFailed)
    assert [each.decoder_state for each in heard] == [[str(number)] for number in (1, 2, 3, 4, 6, 7, 8)]


@in_virtual_time
async def test_a_cancelled_step_of_a_running_batch_leaves_the_others_their_results():
    model = VirtualModel()
    async with running(model, lanes=1) as scheduler:
        leaving, staying = scheduler.advance(step(1)), scheduler.advance(step(2))
        await model.next_started()
        leaving.cancel()
        await settled()
        assert scheduler.admitted == 1
        model.release_all()
        assert (await staying).decoder_state == ["2"]
        assert scheduler.admitted == 0


@in_virtual_time
async def test_an_error_outside_the_model_fails_its_batch_and_five_in_a_row_end_the_service(monkeypatch):
    broken: list[bool] = []
    scheduler = Scheduler(Settings(microbatch_window_ms=0, lanes=1), lambda: broken.append(True))
    await scheduler.start(lambda: VirtualModel(held=False))
    lost = AsyncMock(side_effect=RuntimeError("a bug"))
    with monkeypatch.context() as patched:
        patched.setattr(Lanes, "_run", lost)
        with pytest.raises(TranscriptionFailed):
            await ask(scheduler, clip(1))
    assert (await ask(scheduler, clip(2))).result.text == "2", "the lane has gone on"
    monkeypatch.setattr(Lanes, "_run", lost)
    for number in range(MAX_LANE_FAILURES):
        assert not broken
        with pytest.raises(TranscriptionFailed):
            await ask(scheduler, clip(number))
        await settled()
    assert broken == [True]
    with pytest.raises(ModelFailed):
        await ask(scheduler, clip(9))
    await scheduler.stop(0)
