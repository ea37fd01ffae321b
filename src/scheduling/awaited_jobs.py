"""The jobs that somebody waits for. Each ends once: with a result or an error, or when nobody waits any more."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from src.engine.model import StepResult
from src.errors import ServiceError
from src.scheduling.jobs import Job
from src.scheduling.outcome import Outcome
from src.text.transcript import Transcript

Ending = TypeVar("Ending")


class AwaitedJobs:
    """Jobs with the futures that their callers wait for. For use from one event loop."""

    def __init__(self) -> None:
        self._clips: dict[Job, asyncio.Future[Outcome[Transcript]]] = {}
        self._steps: dict[Job, asyncio.Future[StepResult]] = {}
        self._is_closed = False

    @property
    def steps(self) -> Sequence[Job]:
        """The steps among them."""
        return [*self._steps]

    @property
    def step_count(self) -> int:
        """The number of steps among them."""
        return len(self._steps)

    def add_clip(self, job: Job) -> asyncio.Future[Outcome[Transcript]]:
        """Add a clip, and return what its caller is to wait for."""
        future = self._clips[job] = asyncio.get_running_loop().create_future()
        return future

    def add_step(self, job: Job) -> asyncio.Future[StepResult]:
        """Add a step, and return what its caller is to wait for."""
        future = self._steps[job] = asyncio.get_running_loop().create_future()
        return future

    def remove(self, job: Job) -> bool:
        """Remove a job for which its caller waits no more; return whether it had not ended yet."""
        return bool(self._clips.pop(job, None) or self._steps.pop(job, None))

    def still(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of `jobs` that a caller still waits for; none once the model has failed."""
        return [] if self._is_closed else [job for job in jobs if self._is_awaited(job)]

    def close(self) -> None:
        """Let no job count as awaited from now on: the model has failed."""
        self._is_closed = True

    def finish_clip(self, job: Job, outcome: Outcome[Transcript]) -> None:
        """End a clip with its outcome."""
        _finish(self._clips.pop(job, None), outcome)

    def finish_step(self, job: Job, result: StepResult) -> None:
        """End a step with its result."""
        _finish(self._steps.pop(job, None), result)

    def fail(self, job: Job, error: ServiceError) -> None:
        """End a job with an error."""
        future = self._clips.pop(job, None) or self._steps.pop(job, None)
        if future and not future.done():
            future.set_exception(error)

    def _is_awaited(self, job: Job) -> bool:
        future = self._clips.get(job) or self._steps.get(job)
        return future is not None and not future.done()


def _finish(future: asyncio.Future[Ending] | None, ending: Ending) -> None:
    if future and not future.done():
        future.set_result(ending)
