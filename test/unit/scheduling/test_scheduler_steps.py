"""Steps of live text in virtual time: their pace, and who waits for whom (src.scheduling.scheduler)."""

import asyncio
from dataclasses import dataclass, field

import pytest
from fakes import HeldModel, clip, step
from scheduler_harness import ask
from virtual_time import VirtualLoop, in_virtual_time, virtual_loop

from src.engine.batch_limits import BatchLimits
from src.scheduling.scheduler import Scheduler
from src.settings import Settings

WINDOW_S = 2.0


class TimedModel(HeldModel):
    """A model that takes `batch_s` for a batch, and `job_s` for each of its jobs."""

    limits = BatchLimits(max_clips=8, max_audio_s=1200.0)

    def __init__(self, loop: VirtualLoop, batch_s: float, job_s: float) -> None:
        super().__init__(held=False)
        self.sizes: list[int] = []
        self._loop, self._batch_s, self._job_s = loop, batch_s, job_s

    def _run(self, clips):
        self.sizes.append(len(clips))
        self._loop.takes(self._batch_s + self._job_s * len(clips))
        return super()._run(clips)


@dataclass
class Speaker:
    """Somebody who speaks in real time from `start_s` on, and whose steps take all the audio that waits."""

    scheduler: Scheduler
    client: str | None
    start_s: float
    late_s: list[float] = field(default_factory=list)
    """How long after its audio was there each step has ended."""
    lengths_s: list[float] = field(default_factory=list)

    async def speak(self, until_s: float, step_s: float | None = None) -> None:
        """Take steps of `step_s`, or of the length that the scheduler asks for."""
        loop = asyncio.get_running_loop()
        decoded_s = self.start_s
        while loop.time() < until_s:
            due_at = decoded_s + (step_s or self.scheduler.step_s)
            await asyncio.sleep(max(0.0, due_at - loop.time()))
            taken_s = min(loop.time() - decoded_s, 4.8)
            window = step(1, WINDOW_S)
            window = type(window)(window.samples, 0, round(taken_s / 0.08), 0)
            await self.scheduler.advance(window, client=self.client, due_at=due_at)
            decoded_s += taken_s
            self.late_s.append(loop.time() - due_at)
            self.lengths_s.append(taken_s)


async def started(batch_s: float, job_s: float, **settings) -> tuple[Scheduler, TimedModel]:
    model = TimedModel(virtual_loop(), batch_s, job_s)
    scheduler = Scheduler(Settings(max_queue_wait_s=1e6, queue_max_factor=100, **settings))
    await scheduler.start(lambda: model)
    return scheduler, model


@in_virtual_time
async def test_a_client_with_two_hundred_sessions_does_not_make_others_late():
    scheduler, model = await started(0.05, 0.02)
    many = [Speaker(scheduler, "many", number / 200) for number in range(200)]
    others = [Speaker(scheduler, f"other {number}", number / 5) for number in range(5)]
    async with asyncio.TaskGroup() as tasks:
        for speaker in [*many, *others]:
            tasks.create_task(speaker.speak(12.0, 0.96))
    batch_s = 0.05 + 8 * 0.02
    assert max(late_s for speaker in many for late_s in speaker.late_s) > 2.0, "the model is much too slow for all"
    latest_s = max(late_s for speaker in others for late_s in speaker.late_s)
    assert latest_s < 3.1 * batch_s, "the batch that runs, the one that is prepared, and their own"
    assert sum(model.sizes) / len(model.sizes) > 7, "batches are full all the same"
    assert min(len(speaker.late_s) for speaker in many) >= 2, "each of the many gets its turn"
    await scheduler.stop(0)


@in_virtual_time
async def test_sessions_without_a_name_share_the_model_evenly():
    scheduler, _ = await started(0.05, 0.02)
    speakers = [Speaker(scheduler, None, number / 60) for number in range(60)]
    async with asyncio.TaskGroup() as tasks:
        for speaker in speakers:
            tasks.create_task(speaker.speak(12.0, 0.96))
    turns = [len(speaker.late_s) for speaker in speakers]
    assert max(turns) - min(turns) <= 1
    await scheduler.stop(0)


@in_virtual_time
async def test_the_latest_step_runs_first():
    scheduler, model = await started(1.0, 0.0, microbatch_max_batch=1)
    first = asyncio.ensure_future(scheduler.advance(step(0)))
    await virtual_loop().settled()
    now = virtual_loop().time()
    await asyncio.gather(first, *(scheduler.advance(step(number), due_at=now - number / 10) for number in (1, 3, 2)))
    assert model.clips == ["0", "3", "2", "1"]
    await scheduler.stop(0)


@in_virtual_time
async def test_a_step_does_not_wait_for_an_upload_that_is_on_its_way_nor_for_the_callers_of_clips(monkeypatch):
    monkeypatch.setattr("src.scheduling.resubmissions.PATIENCE", 1e9)
    scheduler, _ = await started(0.1, 0.0, microbatch_window_ms=3_600_000)
    async with scheduler.admit():
        await scheduler.advance(step(1))
        assert virtual_loop().time() == pytest.approx(0.1)
    await asyncio.gather(ask(scheduler, clip(1)), ask(scheduler, clip(2)))
    before_s = virtual_loop().time()
    await scheduler.advance(step(2))
    assert virtual_loop().time() == pytest.approx(before_s + 0.1)
    await scheduler.stop(0)


@in_virtual_time
async def test_a_clip_waits_neither_for_steps_that_are_gathered_nor_for_all_that_come():
    scheduler, model = await started(0.015, 0.0002, microbatch_max_batch=64)
    waits_s = []

    async def upload() -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 6.0:
            await asyncio.sleep(0.13)
            asked_at = loop.time()
            await ask(scheduler, clip(1))
            if asked_at > 1.0:  # it takes a moment until it is known how often steps come
                waits_s.append(loop.time() - asked_at)

    speakers = [Speaker(scheduler, None, number / 200) for number in range(200)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(upload())
        for speaker in speakers:
            tasks.create_task(speaker.speak(6.0, 0.48))
    assert max(waits_s) < 0.1
    assert max(late_s for speaker in speakers for late_s in speaker.late_s[2:]) < 0.15
    assert len(model.sizes) < 60 * 6, "steps share batches"
    await scheduler.stop(0)


@in_virtual_time
async def test_steps_are_short_on_an_idle_model_and_longer_on_a_busy_one():
    scheduler, _ = await started(0.01, 0.03)
    idle_s = scheduler.step_s
    alone = Speaker(scheduler, None, 0.0)
    await alone.speak(4.0)
    assert alone.lengths_s[-1] == pytest.approx(idle_s, abs=0.08)
    speakers = [Speaker(scheduler, None, 4.0 + number / 16) for number in range(16)]
    async with asyncio.TaskGroup() as tasks:
        for speaker in speakers:
            tasks.create_task(speaker.speak(12.0))
    assert 3 * idle_s < scheduler.step_s <= 2 * 0.96
    assert max(late_s for speaker in speakers for late_s in speaker.late_s[-2:]) < scheduler.step_s
    await asyncio.sleep(20)
    assert scheduler.step_s == idle_s
    await scheduler.stop(0)
