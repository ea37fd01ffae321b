"""How long requests wait, whatever comes and goes when: the scheduler in virtual time."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from fakes import HeldModel, clip, step
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from virtual_time import VirtualLoop

from src.engine.batch_limits import BatchLimits
from src.scheduling.scheduler import Scheduler
from src.settings import Settings

WINDOW_S = 0.01
ROUNDING_S = 1e-6


@dataclass(eq=False)
class Ask:
    """One request, with when it came, was there as a whole, began in the model, and had its end."""

    arrived_s: float
    upload_s: float = 0.0
    leaves_s: float | None = None
    seconds: float = 1.0
    is_step: bool = False
    queued_s: float = field(default=0.0, init=False)
    began_s: float | None = field(default=None, init=False)
    ended_s: float = field(default=0.0, init=False)


class TimedModel(HeldModel):
    """A model that says how long each batch takes, and when it ran."""

    limits = BatchLimits(max_clips=8, max_audio_s=60.0, preferred_sizes=(2, 4, 8))

    def __init__(self, loop: VirtualLoop, batch_s: float) -> None:
        super().__init__(held=False)
        self.runs: list[tuple[float, float, list[int]]] = []
        self._loop, self._batch_s = loop, batch_s

    def _run(self, clips):
        texts = super()._run(clips)
        took_s = self._batch_s * (1 + len(clips) / 10)
        self._loop.takes(took_s)
        self.runs.append((self._loop.time(), self._loop.time() + took_s, [int(text) for text in texts]))
        return texts


def served(asks: list[Ask], *, batch_s: float, lanes: int = 2) -> list[tuple[float, float, list[Ask]]]:
    """Have a scheduler serve requests; return when each batch began and ended, and whose it was."""
    loop = VirtualLoop()
    try:
        runs = loop.run_until_complete(_all(asks, TimedModel(loop, batch_s), lanes))
    finally:
        loop.close()
    for start_s, _, batch in runs:
        for ask in batch:
            ask.began_s = start_s
    return runs


async def _all(asks: list[Ask], model: TimedModel, lanes: int) -> list[tuple[float, float, list[Ask]]]:
    scheduler = Scheduler(Settings(lanes=lanes, max_queue_wait_s=1e6, microbatch_window_ms=WINDOW_S * 1000))
    await scheduler.start(lambda: model)
    async with asyncio.TaskGroup() as tasks:
        for number, ask in enumerate(asks):
            tasks.create_task(_asked(scheduler, number, ask))
    await asyncio.sleep(60)  # a batch may still run whose callers have left
    assert scheduler.idle
    await scheduler.stop(0)
    return [(start_s, end_s, [asks[number] for number in batch]) for start_s, end_s, batch in model.runs]


async def _asked(scheduler: Scheduler, number: int, ask: Ask) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(ask.arrived_s)
    try:
        async with asyncio.timeout(ask.leaves_s):
            await (_stepped if ask.is_step else _transcribed)(scheduler, number, ask)
    except TimeoutError:
        pass  # its caller has left
    ask.ended_s = loop.time()


async def _stepped(scheduler: Scheduler, number: int, ask: Ask) -> None:
    await asyncio.sleep(ask.upload_s)
    ask.queued_s = asyncio.get_running_loop().time()
    await scheduler.advance(step(number, ask.seconds))


async def _transcribed(scheduler: Scheduler, number: int, ask: Ask) -> None:
    async with scheduler.admit() as admission:
        await asyncio.sleep(ask.upload_s)
        ask.queued_s = asyncio.get_running_loop().time()
        await scheduler.transcribe(admission, clip(number, ask.seconds))


MOMENTS_S = st.one_of(st.sampled_from([0.0, 0.1, 0.105, 0.2, 0.21]), st.floats(0, 1))
ASKS = st.builds(
    Ask,
    MOMENTS_S,
    st.sampled_from([0.0, 0.0, 0.0, 0.004, 0.05, 3.0]),
    st.sampled_from([None, None, None, 0.002, 0.006, 0.05, 0.15]),
    st.sampled_from([0.5, 1.0, 3.0, 7.0, 20.0]),
    st.booleans(),
)


@given(st.lists(ASKS, min_size=1, max_size=30), st.sampled_from([0.002, 0.1]), st.sampled_from([1, 2]))
@budget(max_examples=60)
def test_a_free_model_leaves_nobody_waiting_for_longer_than_the_window(asks, batch_s, lanes):
    runs = served(asks, batch_s=batch_s, lanes=lanes)
    assert all(after[0] >= before[1] - ROUNDING_S for before, after in pairwise(runs)), "one batch at a time"
    free_s = 0.0
    for start_s, end_s, batch in runs:
        longest_waiting_s = min(ask.queued_s for ask in batch)
        assert start_s <= max(free_s, longest_waiting_s) + WINDOW_S + ROUNDING_S
        free_s = end_s
    assert all(ask.began_s is not None for ask in asks if ask.leaves_s is None)


@given(st.lists(ASKS, min_size=1, max_size=6), st.sampled_from([0.002, 0.1]))
@budget(max_examples=60)
def test_who_is_alone_waits_for_nothing(asks, batch_s):
    runs = served(asks, batch_s=batch_s)
    for ask in asks:
        others = [other for other in asks if other is not ask]
        is_alone = all(other.ended_s < ask.arrived_s or ask.ended_s < other.arrived_s for other in others)
        is_busy = any(start_s <= ask.queued_s < end_s and ask not in batch for start_s, end_s, batch in runs)
        if is_alone and not is_busy and ask.began_s is not None:
            assert ask.began_s == pytest.approx(ask.queued_s)


def test_who_comes_when_those_have_left_for_whom_a_batch_was_put_off_waits_no_longer_than_the_window(monkeypatch):
    monkeypatch.setattr("src.scheduling.resubmissions.PATIENCE", 1e9)
    again = Ask(1.001, leaves_s=1.004)  # waits for the end of the second batch, and then for its caller
    slow, last = Ask(1.5, upload_s=100.0), Ask(2.3)
    runs = served([Ask(0.0), Ask(0.5), again, slow, last], batch_s=1 / 1.1)
    assert again.began_s is None
    assert last.began_s is not None
    assert last.began_s <= last.queued_s + WINDOW_S + ROUNDING_S
    assert len(runs) == 4
