"""The lanes: workers that take batches, of clips or of steps, out of the queue and run them on the model.

While one lane runs its batch, the next one collates its own. `BatchTiming` decides when a batch leaves the queue, and
`JobQueue` which jobs it has; this module does the waiting.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from src.engine.model import StepResult
from src.errors import DeviceLost
from src.notifier import Notifier
from src.scheduling.awaited_jobs import AwaitedJobs
from src.scheduling.batch_timing import BatchTiming
from src.scheduling.failures import failed_alone, lane_failed
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Job
from src.scheduling.model_threads import ModelThreads, Results
from src.scheduling.outcome import Outcome

log = logging.getLogger(__name__)

MAX_LANE_FAILURES = 5
"""Failures of one lane in a row after which the service gives up."""


class Lanes:
    """Takes batches and runs them, from `start` to `stop`.

    Args:
        queue: what waits.
        timing: decides when a batch leaves it.
        threads: run the model.
        awaited: what the callers of jobs wait for.
        changes: notified of everything that lanes may wait for, and notified by them.
        on_popped: called with the jobs of which a batch was taken that had waited for too long.
        on_breakdown: called with a reason if no batch will run any more.
    """

    def __init__(
        self,
        queue: JobQueue,
        timing: BatchTiming,
        threads: ModelThreads,
        awaited: AwaitedJobs,
        changes: Notifier,
        on_popped: Callable[[Sequence[Job]], None],
        on_breakdown: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._timing = timing
        self._threads = threads
        self._awaited = awaited
        self._changes = changes
        self._on_popped = on_popped
        self._on_breakdown = on_breakdown
        self._lanes: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()  # held by the lane that chooses its batch
        self._gathering: asyncio.TimerHandle | None = None  # until when steps wait for further steps

    @property
    def are_running(self) -> bool:
        """Whether they were started."""
        return bool(self._lanes)

    def start(self, number: int) -> None:
        """Start so many lanes."""
        self._lanes = [asyncio.create_task(self._work(lane), name=f"lane-{lane}") for lane in range(number)]

    async def stop(self) -> None:
        """End all lanes, whatever they do."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)

    async def _work(self, lane: int) -> None:
        """Run batches until cancelled. An error outside the model fails the batch; five in a row stop the service."""
        loop = asyncio.get_running_loop()
        failures = 0
        while failures < MAX_LANE_FAILURES:
            jobs: list[Job] = []
            try:
                async with self._turn:
                    jobs = await self._next_batch()
                    self._timing.batch_begins(jobs)
                    started = loop.time()
                await self._run(lane, jobs)
                failures = 0
            except Exception:
                failures += 1
                log.exception("Lane %d failed, and goes on with the next batch.", lane)
                for job in jobs:
                    self._awaited.fail(job, lane_failed())
            finally:
                if jobs:
                    now = loop.time()
                    self._gather_steps(self._timing.batch_ended(jobs, now - started, now))
                self._changes.notify()
        self._on_breakdown(f"lane {lane} has failed {failures} times in a row")

    # -- taking a batch ------------------------------------------------------------------------------------------------

    async def _next_batch(self) -> list[Job]:
        """Wait for jobs and for the best time to run them; return the next batch."""
        timing = self._timing
        while True:
            await self._changes.until(lambda: timing.may_take)
            await self._until(timing.callers_until, lambda: timing.callers_are_back)
            if not self._queue.has_batch:  # all callers have left
                continue
            await self._until(timing.preparing_until, lambda: timing.nothing_is_prepared)
            popped = self._queue.pop_batch(asyncio.get_running_loop().time())
            self._on_popped(popped.expired)
            if popped.batch:
                return popped.batch

    async def _until(self, deadline: float, condition: Callable[[], bool]) -> None:
        """Wait until the next batch cannot improve, a condition holds, or a time of the event loop has come."""

        def is_due() -> bool:
            return condition() or self._timing.cannot_improve

        if is_due():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._changes.until(is_due)

    def _gather_steps(self, seconds: float | None) -> None:
        """Let steps wait for further steps for some time; None: as before. Meanwhile, clips may run."""
        if seconds is None:
            return
        if self._gathering:
            self._gathering.cancel()
        self._queue.gather_steps(seconds > 0)
        if seconds > 0:
            self._gathering = asyncio.get_running_loop().call_later(seconds, self._end_gathering)

    def _end_gathering(self) -> None:
        self._gathering = None
        self._queue.gather_steps(False)
        if self._timing.may_take:
            self._changes.notify()

    # -- running it ----------------------------------------------------------------------------------------------------

    async def _run(self, lane: int, jobs: Sequence[Job]) -> None:
        """Run a batch and end its jobs. A batch that raises is halved, so that only the job that causes it fails."""
        jobs = self._awaited.still(jobs)
        if not jobs:
            return
        try:
            await self._run_whole(lane, jobs)
            return
        except DeviceLost as error:
            self._on_breakdown(str(error))
            return
        except Exception as error:
            log.error("A batch of %d failed in lane %d: %s: %s", len(jobs), lane, type(error).__name__, error)
            if len(jobs) == 1:
                self._awaited.fail(jobs[0], failed_alone(error))
                return
        # Outside the handler, where the error would keep memory alive that the halves need.
        middle = len(jobs) // 2
        await self._run(lane, jobs[:middle])
        await self._run(lane, jobs[middle:])

    async def _run_whole(self, lane: int, jobs: Sequence[Job]) -> None:
        loop, threads = asyncio.get_running_loop(), self._threads
        # Steps are collated fast: on a model that is free, a further change of threads would cost more.
        batch = None if jobs[0].is_step and not threads.lock.locked() else await threads.collate(jobs)
        async with threads.lock:
            awaited = self._awaited.still(jobs)
            if len(awaited) < len(jobs):  # callers left while the model ran the batch before
                jobs = awaited
                if not jobs:
                    return
                batch = batch and await threads.collate(jobs)
            started = loop.time()
            results = await threads.run(batch, jobs)
            inference_s = loop.time() - started
        self._timing.batch_ran(jobs, inference_s, loop.time())
        self._end(jobs, results, started, inference_s, lane)

    def _end(self, jobs: Sequence[Job], results: Results, started: float, inference_s: float, lane: int) -> None:
        """End the jobs of a batch with their results."""
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, StepResult):
                self._awaited.finish_step(job, result)
            else:
                outcome = Outcome(result, started - job.enqueued_at, inference_s, lane, len(jobs))
                self._awaited.finish_clip(job, outcome)
