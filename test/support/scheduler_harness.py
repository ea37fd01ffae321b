"""A scheduler in a `VirtualLoop`, on a model that runs when the test says so."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fakes import HeldModel
from virtual_time import virtual_loop

from src.audio.samples import Samples
from src.engine.model import StepResult, StreamStep
from src.notifier import Notifier
from src.scheduling.jobs import Kind
from src.scheduling.outcome import Outcome
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.text.transcript import Transcript


class VirtualModel(HeldModel):
    """A `HeldModel` that holds a batch without holding a thread. A batch takes `batch_s` at least."""

    def __init__(self, *, held: bool = True, batch_s: float = 0.0) -> None:
        super().__init__(held=False)
        self._is_held = held
        self._batch_s = batch_s
        self._releases = self._awaited = 0
        self._changes = Notifier()

    def _run(self, clips: Sequence[Samples]) -> list[str]:
        virtual_loop().lasts_until(self._ended)
        self._changes.notify()
        return super()._run(clips)

    async def _ended(self) -> None:
        await asyncio.sleep(self._batch_s)
        await self._changes.until(lambda: self._releases > 0 or not self._is_held)
        self._releases -= 1

    def release(self) -> None:
        self._releases += 1
        self._changes.notify()

    def release_all(self) -> None:
        self._is_held = False
        self._changes.notify()

    async def next_started(self) -> None:
        """Wait until the model has begun a batch that nobody has waited for yet."""
        self._awaited += 1
        await self._changes.until(lambda: len(self.batches) >= self._awaited)


@asynccontextmanager
async def running(model: VirtualModel, **settings: Any) -> AsyncIterator[Scheduler]:
    """A started scheduler. Requests may wait for long unless the test says otherwise."""
    scheduler = Scheduler(Settings(**{"max_queue_wait_s": 600, "microbatch_window_ms": 0} | settings))
    await scheduler.start(lambda: model)
    try:
        yield scheduler
    finally:
        model.release_all()
        await scheduler.stop(0)


async def ask(
    scheduler: Scheduler, samples: Samples, kind: Kind = Kind.UPLOAD, keywords: tuple[str, ...] = ()
) -> Outcome[Transcript]:
    """One request, from its arrival to its outcome."""
    async with scheduler.admit() as admission:
        return await scheduler.transcribe(admission, samples, kind=kind, keywords=keywords)


def asking(scheduler: Scheduler, *clips: Samples) -> list[asyncio.Task[Outcome[Transcript]]]:
    """Requests in tasks of their own."""
    return [asyncio.create_task(ask(scheduler, samples)) for samples in clips]


async def advance(
    scheduler: Scheduler, step: StreamStep, client: str | None = None, due_at: float | None = None
) -> StepResult:
    """One step of a stream, from its arrival to its result."""
    return await scheduler.advance(step, client=client, due_at=due_at)


def advancing(scheduler: Scheduler, *steps: StreamStep) -> list[asyncio.Task[StepResult]]:
    """Steps in tasks of their own."""
    return [asyncio.create_task(advance(scheduler, step)) for step in steps]


async def settled() -> None:
    """Let every task go on that can do so without the clock."""
    await virtual_loop().settled()
