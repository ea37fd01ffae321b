"""Admission, order and ends of requests, on a model that runs when the test says so (src.scheduling.scheduler)."""

import asyncio
from dataclasses import replace

import pytest
from fakes import clip, step
from scheduler_harness import VirtualModel, advance, advancing, ask, asking, running, settled
from virtual_time import in_virtual_time, virtual_loop

from src.engine.batch_limits import BatchLimits
from src.errors import ModelFailed, ModelNotReady, QueueFull, QueueTimeout, ShuttingDown
from src.scheduling.jobs import Kind
from src.scheduling.scheduler import Scheduler
from src.settings import Settings


@in_virtual_time
async def test_each_caller_gets_the_text_of_its_own_clip():
    async with running(VirtualModel(held=False)) as scheduler:
        outcomes = await asyncio.gather(*asking(scheduler, *(clip(number) for number in range(40))))
    assert [outcome.result.text for outcome in outcomes] == [str(number) for number in range(40)]


@in_virtual_time
async def test_the_load_is_the_audio_that_waits_and_the_mean_size_of_the_last_batches():
    model = VirtualModel(batch_s=0.1)
    async with running(model) as scheduler:
        assert (scheduler.queued_audio_s, scheduler.running_audio_s, scheduler.uploads) == (0, 0, 0)
        assert (scheduler.mean_batch_size, scheduler.audio_s_per_s) == (0, 0)
        first = asking(scheduler, clip(0, 9.0))
        await model.next_started()
        rest = asking(scheduler, *(clip(number, 2.0) for number in range(1, 8)))
        await settled()
        assert (scheduler.queued_audio_s, scheduler.running_audio_s, scheduler.uploads) == (14, 9, 8)
        async with scheduler.admit(is_owed=True):
            assert scheduler.uploads == 8, "an item of a session is none"
        model.release_all()
        await asyncio.gather(*first, *rest)
        await settled()
        assert (scheduler.queued_audio_s, scheduler.running_audio_s, scheduler.uploads) == (0, 0, 0)
        assert scheduler.mean_batch_size == 4
        assert scheduler.audio_s_per_s == pytest.approx(23 / 0.2)
        await asyncio.sleep(60)
        assert scheduler.mean_batch_size == 0


@in_virtual_time
async def test_the_limits_are_those_of_the_models_device_where_none_are_set(caplog):
    caplog.set_level("INFO")
    for settings, sizes in (({}, [1, 32, 8, 1]), ({"microbatch_max_batch": 20}, [1, 16, 16, 8, 1])):
        model = VirtualModel()
        model.limits = BatchLimits.from_settings(Settings(), gpu_bytes=80_000_000_000)
        async with running(model, lanes=1, **settings) as scheduler:
            first = asking(scheduler, clip(0))
            await model.next_started()
            rest = asking(scheduler, *(clip(number) for number in range(1, 42)))
            await settled()
            model.release_all()
            await asyncio.gather(*first, *rest)
        assert [len(batch) for batch in model.batches] == sizes
    assert "Batches: at most 64 clips and 1920 s of audio; 2048 requests at a time." in caplog.text
    assert "Batches: at most 20 clips and 1920 s of audio; 640 requests at a time." in caplog.text


class Compiling(VirtualModel):
    """A model that compiles keywords until the test ends that."""

    def __init__(self) -> None:
        super().__init__(held=False)
        self.compiled: list[tuple[str, ...]] = []
        self.may_finish = asyncio.Event()

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        return keywords in self.compiled

    def compile(self, keywords: tuple[str, ...]) -> None:
        self.compiled.append(keywords)
        virtual_loop().lasts_until(self.finished)

    async def finished(self) -> None:
        await self.may_finish.wait()


@in_virtual_time
async def test_nobody_waits_for_the_keywords_of_others_to_be_compiled():
    model = Compiling()
    async with running(model) as scheduler:
        model.compiled.append(("known",))
        fresh = asyncio.create_task(ask(scheduler, clip(1), keywords=("new",)))
        await settled()
        assert (await ask(scheduler, clip(2))).result.text == "2"
        assert (await ask(scheduler, clip(3), keywords=("known",))).result.text == "3"
        assert (await advance(scheduler, replace(step(4), keywords=("known",)))).tokens
        await settled()
        assert not fresh.done()
        model.may_finish.set()
        assert (await fresh).result.text == "1"
    assert model.compiled == [("known",), ("new",)]


@in_virtual_time
async def test_a_request_is_rejected_with_retry_after_when_all_slots_are_taken():
    model = VirtualModel()
    async with running(model, microbatch_max_batch=1, queue_max_factor=2, lanes=1, max_queue_wait_s=7) as scheduler:
        running_now = asking(scheduler, clip(0))
        await model.next_started()
        waiting = asking(scheduler, clip(1), clip(2))
        await settled()
        with pytest.raises(QueueFull) as refused:
            await ask(scheduler, clip(3))
        assert refused.value.headers == {"Retry-After": "7"}
        model.release_all()
        await asyncio.gather(*running_now, *waiting)
        assert (await ask(scheduler, clip(4))).result.text == "4"


@in_virtual_time
async def test_too_much_decoded_audio_is_refused():
    model = VirtualModel()
    async with running(model, lanes=1, max_queued_audio_s=5) as scheduler:
        running_now = asking(scheduler, clip(0))
        await model.next_started()
        waiting = asking(scheduler, clip(1, seconds=4))
        await settled()
        with pytest.raises(QueueFull):
            await ask(scheduler, clip(2, seconds=2))
        model.release_all()
        await asyncio.gather(*running_now, *waiting)


@in_virtual_time
async def test_a_request_that_waits_too_long_is_ended_while_the_model_is_still_busy():
    model = VirtualModel()
    async with running(model, lanes=1, max_queue_wait_s=0.05) as scheduler:
        busy = asking(scheduler, clip(0))
        await model.next_started()
        with pytest.raises(QueueTimeout) as late:
            await ask(scheduler, clip(1))
        assert late.value.headers == {"Retry-After": "1"}
        model.release_all()
        assert (await busy[0]).result.text == "0", "a clip in a batch is finished, however long it takes"
    assert model.clips == ["0"]


@in_virtual_time
async def test_realtime_runs_before_uploads_that_came_first():
    model = VirtualModel()
    async with running(model, lanes=1, microbatch_max_batch=1) as scheduler:
        tasks = asking(scheduler, clip(0))
        await model.next_started()
        tasks += asking(scheduler, clip(1))
        await settled()
        tasks.append(asyncio.create_task(ask(scheduler, clip(2), Kind.REALTIME)))
        await settled()
        model.release_all()
        await asyncio.gather(*tasks)
    assert model.clips == ["0", "2", "1"]


@in_virtual_time
async def test_nobody_is_admitted_before_the_model_is_loaded():
    scheduler = Scheduler(Settings())
    with pytest.raises(ModelNotReady):
        async with scheduler.admit():
            pass


@in_virtual_time
async def test_a_stop_finishes_what_was_admitted_and_refuses_the_rest():
    model = VirtualModel()
    async with running(model) as scheduler:
        admitted = asking(scheduler, *(clip(number) for number in range(20)))
        await model.next_started()
        stopping = asyncio.create_task(scheduler.stop(600))
        await settled()
        with pytest.raises(ShuttingDown):
            await ask(scheduler, clip(99))
        model.release_all()
        await stopping
        outcomes = await asyncio.gather(*admitted)
    assert sorted(int(outcome.result.text) for outcome in outcomes) == list(range(20))


@in_virtual_time
async def test_before_a_stop_requests_are_refused_while_open_sessions_get_what_is_owed_to_them():
    model = VirtualModel(held=False)
    async with running(model, queue_max_factor=1, microbatch_max_batch=1) as scheduler:
        async with scheduler.admit():
            scheduler.refuse_requests()
            with pytest.raises(ShuttingDown):
                await ask(scheduler, clip(99))
            owed = asyncio.create_task(_ask_as_a_session(scheduler))
            await settled()
            assert not owed.done(), "it waits for the one slot"
        assert (await owed).result.text == "7"
        assert (await scheduler.advance(step(8))).tokens
        await scheduler.stop(0)
        with pytest.raises(ShuttingDown):
            await _ask_as_a_session(scheduler)


async def _ask_as_a_session(scheduler):
    async with scheduler.admit(is_owed=True) as admission:
        return await scheduler.transcribe(admission, clip(7), kind=Kind.REALTIME)


@in_virtual_time
async def test_after_the_grace_period_everyone_gets_an_error_also_those_in_the_model_and_those_still_uploading():
    model = VirtualModel()
    async with running(model) as scheduler:

        async def upload_for_ever():
            async with scheduler.admit():
                await asyncio.Event().wait()

        admitted = [*asking(scheduler, *(clip(number) for number in range(12))), asyncio.create_task(upload_for_ever())]
        await model.next_started()
        await scheduler.stop(0.01)
        endings = await asyncio.gather(*admitted, return_exceptions=True)
    assert [type(ending) for ending in endings] == [ShuttingDown] * 13


@in_virtual_time
async def test_it_is_idle_only_when_no_request_is_in_progress():
    model = VirtualModel()
    async with running(model) as scheduler:
        assert scheduler.idle
        async with scheduler.admit():
            assert not scheduler.idle
        asked = asking(scheduler, clip(0))
        await model.next_started()
        assert not scheduler.idle
        model.release_all()
        await asked[0]
        await settled()
        assert scheduler.idle
        assert scheduler.batches_run == 1


@in_virtual_time
async def test_only_the_first_clip_of_a_request_has_to_be_served_in_time():
    model = VirtualModel()
    async with running(model, lanes=1, max_queue_wait_s=0.05) as scheduler, scheduler.admit() as admission:
        first = asyncio.create_task(scheduler.transcribe(admission, clip(1)))
        await model.next_started()
        second = asyncio.create_task(scheduler.transcribe(admission, clip(2)))
        with pytest.raises(QueueTimeout):
            await ask(scheduler, clip(3))  # which came later and waits in vain
        assert not second.done()
        model.release_all()
        assert [(await each).result.text for each in (first, second)] == ["1", "2"]


@in_virtual_time
async def test_further_clips_of_a_request_wait_for_room_where_a_first_is_refused():
    model = VirtualModel()
    async with running(model, lanes=1, max_queued_audio_s=5) as scheduler, scheduler.admit() as admission:
        first = asyncio.create_task(scheduler.transcribe(admission, clip(1)))
        await model.next_started()
        others = asking(scheduler, clip(2, seconds=4))
        await settled()
        further = asyncio.create_task(scheduler.transcribe(admission, clip(3, seconds=4)))
        await settled()
        assert scheduler.waiting == 1
        model.release_all()
        assert (await further).result.text == "3"
        await asyncio.gather(first, *others)


@pytest.mark.parametrize(("kind", "order"), [(Kind.UPLOAD, ["1", "2", "4", "3"]), (Kind.CHUNK, ["1", "2", "3", "4"])])
@in_virtual_time
async def test_what_the_model_gets_again_goes_before_requests_that_came_later_and_a_next_chunk_does_not(kind, order):
    model = VirtualModel()
    async with (
        running(model, lanes=1, microbatch_max_batch=1) as scheduler,
        scheduler.admit() as admission,
    ):
        first = asyncio.create_task(scheduler.transcribe(admission, clip(1), kind=kind))
        await model.next_started()
        await asyncio.sleep(0.1)
        others = asking(scheduler, clip(2), clip(3))
        await settled()
        model.release()
        await first
        await model.next_started()
        again = asyncio.create_task(scheduler.transcribe(admission, clip(4), kind=kind))
        await settled()
        model.release_all()
        await asyncio.gather(again, *others)
    assert model.clips == order


@in_virtual_time
async def test_a_further_clip_gets_room_as_soon_as_a_batch_has_left_the_queue():
    model = VirtualModel()
    async with (
        running(model, lanes=1, max_queued_audio_s=5, microbatch_window_ms=1000) as scheduler,
        scheduler.admit(),  # for which the first clip of a batch waits a second
        scheduler.admit() as admission,
    ):
        first = asyncio.create_task(scheduler.transcribe(admission, clip(1)))
        await model.next_started()
        model.release()
        await first
        [other] = asking(scheduler, clip(2, seconds=4))
        await settled()
        further = asyncio.create_task(scheduler.transcribe(admission, clip(3, seconds=4)))
        await model.next_started()
        await settled()
        assert (model.batches, scheduler.waiting) == ([["1"], ["2"]], 1)
        model.release_all()
        await asyncio.gather(other, further)


@in_virtual_time
async def test_each_stream_gets_the_results_of_its_own_steps_and_its_own_decoder_state():
    async with running(VirtualModel(held=False)) as scheduler:
        heard = await asyncio.gather(*advancing(scheduler, *(step(number) for number in range(20))))
        again = await asyncio.gather(
            *advancing(
                scheduler, *(step(100 + number, decoder_state=each.decoder_state) for number, each in enumerate(heard))
            )
        )
    assert [each.tokens[0].piece for each in heard] == [f"\u2581{number}" for number in range(20)]
    assert [each.decoder_state for each in again] == [[str(number), str(100 + number)] for number in range(20)]


@in_virtual_time
async def test_a_cancelled_step_never_reaches_the_model():
    model = VirtualModel()
    async with running(model, lanes=1) as scheduler:
        busy = asking(scheduler, clip(0))
        await model.next_started()
        leaving, staying = advancing(scheduler, step(1), step(2))
        await settled()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert scheduler.waiting == 1
        model.release_all()
        await asyncio.gather(*busy, staying)
    assert model.clips == ["0", "2"]


@in_virtual_time
async def test_realtime_work_waits_for_as_long_as_it_takes_but_is_rejected_by_a_full_queue():
    model = VirtualModel()
    async with running(model, lanes=1, max_queued_audio_s=5, max_queue_wait_s=0.05) as scheduler:
        busy = asking(scheduler, clip(0))
        await model.next_started()
        waiting = advancing(scheduler, step(1, seconds=4))
        await settled()
        with pytest.raises(QueueFull):
            await advance(scheduler, step(2, seconds=4))
        with pytest.raises(QueueTimeout):
            await ask(scheduler, clip(3))  # an upload which came later
        assert not waiting[0].done()
        model.release_all()
        await asyncio.gather(*busy, *waiting)


@in_virtual_time
async def test_a_step_takes_a_slot_until_it_leaves_the_queue():
    model = VirtualModel()
    async with running(model, microbatch_max_batch=1, queue_max_factor=2, lanes=1, max_queue_wait_s=7) as scheduler:
        tasks = advancing(scheduler, step(0))
        await model.next_started()
        tasks += advancing(scheduler, step(1), step(2))
        await settled()
        with pytest.raises(QueueFull) as refused:
            await scheduler.advance(step(3))
        assert refused.value.headers == {"Retry-After": "7"}
        with pytest.raises(QueueFull):
            await ask(scheduler, clip(4))
        assert scheduler.preparing == 0
        model.release_all()
        await asyncio.gather(*tasks)
        assert (await scheduler.advance(step(5))).decoder_state == ["5"]
        assert scheduler.admitted == 0


@in_virtual_time
async def test_a_step_that_is_refused_for_its_audio_gives_its_slot_back():
    model = VirtualModel()
    limits = {"microbatch_max_batch": 1, "queue_max_factor": 2, "max_queued_audio_s": 5}
    async with running(model, lanes=1, **limits) as scheduler:
        tasks = advancing(scheduler, step(0))
        await model.next_started()
        tasks += advancing(scheduler, step(1, seconds=4))
        await settled()
        for _ in range(3):
            with pytest.raises(QueueFull, match="audio"):
                await scheduler.advance(step(2, seconds=4))
        model.release_all()
        await asyncio.gather(*tasks)


@in_virtual_time
async def test_a_stop_finishes_the_steps_in_progress_and_refuses_later_ones():
    model = VirtualModel()
    async with running(model) as scheduler:
        steps = advancing(scheduler, *(step(number) for number in range(20)))
        await model.next_started()
        assert not scheduler.idle
        stopping = asyncio.create_task(scheduler.stop(600))
        await settled()
        with pytest.raises(ShuttingDown):
            scheduler.advance(step(99))
        assert not stopping.done()
        model.release_all()
        await stopping
        assert [each.result().decoder_state for each in steps] == [[str(number)] for number in range(20)]


@in_virtual_time
async def test_after_the_grace_period_steps_end_with_an_error_whether_they_wait_or_run():
    model = VirtualModel()
    async with running(model, lanes=1, microbatch_max_batch=2) as scheduler:
        steps = advancing(scheduler, *(step(number) for number in range(5)))
        await model.next_started()
        await scheduler.stop(0.01)
        endings = await asyncio.gather(*steps, return_exceptions=True)
        assert [type(ending) for ending in endings] == [ShuttingDown] * 5
        assert scheduler.waiting == scheduler.admitted == 0


@in_virtual_time
async def test_if_the_model_hangs_steps_end_with_an_error_whether_they_wait_or_run():
    model, broken = VirtualModel(), []
    scheduler = Scheduler(Settings(watchdog_s=10, lanes=1, microbatch_max_batch=2), lambda: broken.append(True))
    await scheduler.start(lambda: model)
    endings = await asyncio.gather(
        *advancing(scheduler, *(step(number) for number in range(5))), return_exceptions=True
    )
    assert [type(ending) for ending in endings] == [ModelFailed] * 5
    assert broken == [True]
    with pytest.raises(ModelFailed):
        scheduler.advance(step(6))
    model.release_all()
    await scheduler.stop(0)


@in_virtual_time
async def test_a_step_waits_for_its_keywords_and_nobody_waits_for_those_of_a_step():
    model = Compiling()
    async with running(model) as scheduler:
        fresh = scheduler.advance(replace(step(1), keywords=("new",)))
        await settled()
        assert (await scheduler.advance(step(2))).decoder_state == ["2"]
        assert not fresh.done()
        assert scheduler.admitted == 1
        model.may_finish.set()
        assert (await fresh).decoder_state == ["1"]
    assert model.compiled == [("new",)]


@in_virtual_time
async def test_a_stop_ends_a_step_whose_keywords_are_being_compiled():
    model = Compiling()
    async with running(model) as scheduler:
        fresh = scheduler.advance(replace(step(1), keywords=("new",)))
        await settled()
        await scheduler.stop(0.01)
        with pytest.raises(ShuttingDown):
            await fresh
        model.may_finish.set()
    assert model.batches == []
