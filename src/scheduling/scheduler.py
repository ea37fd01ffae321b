"""The scheduler: it admits requests, queues their jobs and runs them on the model in batches.

Its lanes are workers that take batches, of clips or of streaming steps, out of the queue and run them. A lane takes its
batch as late as it can: when the model is idle, or when the batch is full and cannot improve by waiting. So batches
grow by themselves under load, a lone request starts at once, and the next lane collates its batch while the model runs.
`JobQueue` decides about order and size; this module does the waiting.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import BatchLimits
from src.engine.device_errors import MemoryExhausted
from src.engine.frames import FRAME_SECONDS
from src.engine.model import Batch, Model, StepBatch, StepResult, StreamStep
from src.errors import (
    DeviceLost,
    ModelFailed,
    ModelNotReady,
    OutOfMemory,
    QueueFull,
    QueueTimeout,
    ServiceError,
    ShuttingDown,
    TranscriptionFailed,
    UploadTooSlow,
)
from src.notifier import Notifier
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job, Kind, Priority, Slot
from src.scheduling.outcome import Outcome
from src.scheduling.pace import Pace
from src.scheduling.recent_batches import EndedBatch, RecentBatches
from src.scheduling.resubmissions import Resubmissions
from src.scheduling.upload_progress import UploadProgress, UploadsInProgress
from src.settings import Settings
from src.text.transcript import Transcript

log = logging.getLogger(__name__)

READY_RETRY_S = 5.0
"""`Retry-After` while the model loads or the server stops: about the time that either takes."""

_Results = Sequence[Transcript | StepResult]

MAX_LANE_FAILURES = 5
"""Failures of one lane in a row after which the service gives up."""


@dataclass(eq=False, slots=True)
class Admission:
    """An admitted request: its slot in the queue, and the scope that the scheduler can end."""

    slot: Slot
    scope: asyncio.Timeout
    upload: UploadProgress
    """How its body arrives."""
    is_owed: bool = False
    """Whether it is work for a session that is open."""
    has_submitted: bool = False
    """Whether it has submitted a job."""
    queued_at: float | None = None
    """When its first job joined the queue; None before that."""
    ended_with: ServiceError | None = None
    """The error that the scheduler has ended it with."""

    def body_received(self) -> None:
        """Note that the whole body has come. From now on, no other request gets its slot."""
        self.upload.is_complete = True

    def end(self, error: ServiceError, now: float) -> None:
        """End its scope with an error."""
        self.ended_with = error
        self.scope.reschedule(now)


class Scheduler:
    """Admits requests, queues their clips and runs them in batches.

    `start` loads the model. Before it has finished, and after `stop`, no request is admitted. All methods belong to one
    event loop.

    Args:
        settings: the limits.
        on_breakdown: called once if the model fails for good, after every request has got its error.
    """

    def __init__(self, settings: Settings, on_breakdown: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._on_breakdown = on_breakdown
        self._broken: ModelFailed | None = None
        self._limit(BatchLimits.from_settings(settings))  # again once the model, and so its device, is known
        self._window_s = settings.microbatch_window_ms / 1000
        self._model: Model | None = None
        self._lanes: list[asyncio.Task[None]] = []
        self._clips: dict[Job, asyncio.Future[Outcome[Transcript]]] = {}  # what the callers of clips wait for
        self._steps: dict[Job, asyncio.Future[StepResult]] = {}  # the same for steps, which have no admission
        self._expiry: asyncio.TimerHandle | None = None  # of the earliest deadline in the queue
        self._gathering: asyncio.TimerHandle | None = None  # until when steps wait for further steps
        self._admitted: dict[UploadProgress, Admission] = {}
        self._uploads = UploadsInProgress()
        self._refuses = False  # further requests
        self._stopped = False
        self._batches = 0  # out of the queue, and not finished
        self._running_samples = 0  # in those batches
        self._batches_run = 0
        self._recent_batches = RecentBatches()
        self._resubmissions = Resubmissions()
        self._wait_for_callers_until = 0.0  # until when the next batch waits for the callers of the last one
        self._changes = Notifier()  # for everything that lanes, requests and `stop` wait for
        self._turn = asyncio.Lock()  # held by the lane that chooses its batch
        self._room = asyncio.Lock()  # held by the request that waits for room for a further clip
        self._model_lock = asyncio.Lock()
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._collators = ThreadPoolExecutor(settings.lanes, thread_name_prefix="collate")
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")

    @property
    def ready(self) -> bool:
        """Whether requests are admitted."""
        return bool(self._lanes) and not self._refuses and not self._broken

    @property
    def model_failed(self) -> bool:
        """Whether the model has failed for good."""
        return self._broken is not None

    @property
    def languages(self) -> Sequence[str]:
        """ISO 639-1 codes of the model's languages; none before it is loaded."""
        return self._model.languages if self._model else ()

    @property
    def waiting(self) -> int:
        """Number of jobs in the queue."""
        return len(self._queue)

    @property
    def preparing(self) -> int:
        """Number of requests that hold a slot and are still being uploaded or decoded."""
        return self._queue.preparing

    @property
    def admitted(self) -> int:
        """Number of requests and steps in progress, from their admission to their end."""
        return len(self._admitted) + len(self._steps)

    @property
    def idle(self) -> bool:
        """Whether no request and no step is in progress."""
        return self.admitted == 0 and self._batches == 0

    @property
    def batches_run(self) -> int:
        """Number of batches finished since the start."""
        return self._batches_run

    @property
    def queued_audio_s(self) -> float:
        """Seconds of decoded audio in the queue."""
        return self._queue.audio_s

    @property
    def running_audio_s(self) -> float:
        """Seconds of audio in the batches that have left the queue and not ended."""
        return self._running_samples / SAMPLE_RATE

    @property
    def uploads(self) -> int:
        """Number of requests in progress, from their admission to their end; what is owed to sessions not counted."""
        return sum(not admission.is_owed for admission in self._admitted.values())

    @property
    def mean_batch_size(self) -> float:
        """Mean number of clips or steps in the batches of the last seconds; 0 if there were none."""
        return self._recent_batches.mean_size(asyncio.get_running_loop().time())

    @property
    def audio_s_per_s(self) -> float:
        """Seconds of audio that the model took for each second that it ran lately; 0 before its first batch."""
        return self._recent_batches.audio_s_per_s

    @property
    def step_s(self) -> float:
        """The shortest step that live text should take now, in seconds of audio."""
        return self._pace.step_s(len(self._steps), asyncio.get_running_loop().time())

    def check_ready(self) -> None:
        """Return if requests are admitted, else raise.

        Raises:
            ModelNotReady: the model is still loading.
            ModelFailed: it has failed for good.
            ShuttingDown: the server is stopping.
        """
        if self._refuses and not self._broken:
            raise _shutting_down()
        self._check_running()

    def _check_running(self) -> None:
        """Return if work is done: that of requests and, while the server stops, what it owes to open sessions."""
        if self._broken:
            raise self._broken
        if self._stopped:
            raise _shutting_down()
        if not self._lanes:
            raise ModelNotReady("The model is still loading. Try again later.", retry_after_s=READY_RETRY_S)

    async def start(self, load: Callable[[], Model]) -> None:
        """Load the model in the thread that will run it, then start the lanes.

        Raises:
            ModelUnavailable: raised by `load`.
        """
        self._model = await asyncio.get_running_loop().run_in_executor(self._model_thread, load)
        limits = self._model.limits.with_settings(self._settings)
        self._limit(limits)
        log.info("Batches: %s; %d requests at a time.", limits, self._queue.slots)
        if not self._refuses:
            self._lanes = [
                asyncio.create_task(self._work(self._model, lane), name=f"lane-{lane}")
                for lane in range(self._settings.lanes)
            ]

    def _limit(self, limits: BatchLimits) -> None:
        self._queue = JobQueue(
            slots=self._settings.queue_max_factor * limits.max_clips,
            max_batch=limits.max_clips,
            max_batch_audio_s=limits.max_audio_s,
            max_audio_s=self._settings.max_queued_audio_s or math.inf,
            preferred_sizes=limits.preferred_sizes,
        )
        chunk_s = self._settings.realtime_chunk_s
        min_step_s = min(self._settings.realtime_min_chunk_s, chunk_s)
        self._pace = Pace(min_step_s, 2 * chunk_s if min_step_s < chunk_s else chunk_s, limits.max_clips)

    def refuse_requests(self) -> None:
        """Admit no further request. What is owed to open sessions is still admitted, until `stop` is called."""
        self._refuses = True

    async def stop(self, grace_s: float) -> None:
        """Reject new work, give what is in progress `grace_s` seconds, and end the rest with `ShuttingDown`."""
        self._refuses = self._stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._changes.until(lambda: self.admitted == 0)
        self._end_all(_shutting_down())
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        for threads in (self._model_thread, self._collators, self._compiler):
            threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def admit(self, client: str | None = None, *, is_owed: bool = False) -> AsyncIterator[Admission]:
        """Admit a request for the duration of the block: reserve a slot for it, and release that afterwards.

        Args:
            client: whose request it is, to limit its high priority; None for no limit.
            is_owed: whether it is work for a session that is open, which a server that stops still does.

        Raises:
            ModelNotReady: the model is still loading.
            ModelFailed: it has failed for good.
            QueueFull: all slots are taken.
            ShuttingDown: the server is stopping, or stopped before the end of the block.
            UploadTooSlow: the body came slowly, or had not begun to come, and another request needed the slot.
        """
        self._check_running() if is_owed else self.check_ready()
        if self._refuses:  # nobody else takes the next slot
            await self._changes.until(lambda: self._queue.has_slot)
        slot = self._reserve_slot(client)
        scope = asyncio.timeout(None)
        admission = Admission(slot, scope, UploadProgress(asyncio.get_running_loop().time()), is_owed)
        self._admitted[admission.upload] = admission
        self._uploads.add(admission.upload)
        try:
            async with scope:
                yield admission
        except TimeoutError:
            if not scope.expired() or admission.ended_with is None:
                raise
            raise admission.ended_with from None
        finally:
            del self._admitted[admission.upload]
            self._uploads.discard(admission.upload)
            self._queue.release(slot)
            self._changes.notify()

    def _reserve_slot(self, client: str | None) -> Slot:
        """Reserve a slot. If there is none, take that of the slowest upload, provided that it is slow."""
        try:
            return self._queue.reserve(client)
        except QueueFull as full:
            now = asyncio.get_running_loop().time()
            slowest = self._uploads.evictable(now)
            if slowest is None:
                raise self._with_retry_after(full) from None
        self._uploads.discard(slowest)
        message = "The upload was too slow, and others needed its place. Try again later."
        self._admitted[slowest].end(UploadTooSlow(message, retry_after_s=READY_RETRY_S), now)
        self._queue.release(self._admitted[slowest].slot)
        return self._queue.reserve(client)

    def _end_all(self, error: ServiceError) -> None:
        """End every request and step in progress."""
        now = asyncio.get_running_loop().time()
        for admission in self._admitted.values():
            admission.end(error, now)
        for step in list(self._steps):
            self._queue.drop(step)
            self._fail(step, error)

    def _give_up(self, reason: str) -> None:
        """End all requests with `ModelFailed`, and admit no more."""
        if self._broken:
            return
        log.critical("The model has failed for good, and the service ends: %s", reason)
        self._broken = ModelFailed("The model has failed; the service starts again.", retry_after_s=READY_RETRY_S)
        self._end_all(self._broken)
        self._on_breakdown()

    async def transcribe(
        self,
        admission: Admission,
        samples: Samples,
        *,
        kind: Kind = Kind.UPLOAD,
        priority: Priority = Priority.NORMAL,
        keywords: tuple[str, ...] = (),
    ) -> Outcome[Transcript]:
        """Queue a clip, and return its transcript once the model has run it.

        The first clip of an upload waits for a limited time, and the request counts as started with it. Its further
        clips wait as long as it takes, for memory too. If they are no chunks, they have the place in the order that
        the first one had: it is what the model gets again. Cancelling the call removes the job from the queue.

        Args:
            admission: that of the clip's request.
            samples: the clip, not empty.
            kind: where it comes from.
            priority: how urgent its caller says it is.
            keywords: words and phrases to expect in it.

        Raises:
            QueueFull: too much decoded audio is waiting.
            QueueTimeout: the clip waited for longer than `PARAKEET_MAX_QUEUE_WAIT_S`.
            OutOfMemory, TranscriptionFailed: the model cannot process this clip.
        """
        loop = asyncio.get_running_loop()
        is_first, admission.has_submitted = not admission.has_submitted, True
        admission.body_received()
        await self._compile(keywords)
        if not is_first:
            async with self._room:
                await self._changes.until(lambda: self._queue.has_room(len(samples)))
        now = loop.time()
        # An upload can be sent again, but not live speech.
        waits_forever = not is_first or kind is Kind.REALTIME
        deadline = math.inf if waits_forever else now + self._settings.max_queue_wait_s
        if admission.queued_at is None:
            admission.queued_at = now
        since = now if kind is Kind.CHUNK else admission.queued_at
        job = Job(Clip(samples, keywords), admission.slot, since, deadline, kind, priority)
        self._push(job)
        self._resubmissions.job_queued(now)
        future: asyncio.Future[Outcome[Transcript]] = loop.create_future()
        self._clips[job] = future
        self._set_expiry()
        try:
            return await future
        finally:
            self._queue.drop(job)
            self._clips.pop(job, None)
            self._changes.notify()

    def advance(
        self, step: StreamStep, *, client: str | None = None, due_at: float | None = None
    ) -> asyncio.Future[StepResult]:
        """Queue a step of a live stream, ahead of uploads. Return a future for its result; to cancel that removes it.

        The steps of a stream go one after the other, as each needs the decoder state of the one before. A step needs no
        admission: it takes a slot of its own until it leaves the queue, and waits as long as it takes. There are
        hundreds of them in a second.

        Args:
            step: the step.
            client: whose it is; None if it has no name.
            due_at: when its audio was there, in the event loop's time, so that late steps go first; None for now.

        Raises:
            ModelNotReady, ModelFailed, ShuttingDown: as for `admit`; the future may raise the last two as well.
            QueueFull: all slots are taken, or too much audio is waiting.
            OutOfMemory, TranscriptionFailed: the model cannot process this step; raised by the future.
        """
        self._check_running()
        if self._has_compiled(step.keywords):
            return self._queue_step(step, self._reserve_slot(client), due_at)
        return asyncio.create_task(self._compile_and_advance(step, client, due_at))

    async def _compile_and_advance(self, step: StreamStep, client: str | None, due_at: float | None) -> StepResult:
        async with self.admit(client, is_owed=True) as admission:
            admission.body_received()
            await self._compile(step.keywords)
            return await self._queue_step(step, admission.slot, due_at)

    def _queue_step(self, step: StreamStep, slot: Slot, due_at: float | None) -> asyncio.Future[StepResult]:
        loop = asyncio.get_running_loop()
        now = loop.time()
        job = Job(step, slot, now, kind=Kind.REALTIME, late_s=0.0 if due_at is None else now - due_at)
        try:
            self._push(job)
        except QueueFull:
            self._queue.release(slot)
            raise
        future: asyncio.Future[StepResult] = loop.create_future()
        self._steps[job] = future
        future.add_done_callback(partial(self._forget_step, job))
        return future

    def _forget_step(self, job: Job, future: asyncio.Future[StepResult]) -> None:
        """Remove a step that its caller has cancelled. One that has ended otherwise is gone already."""
        if not future.cancelled():
            future.exception()  # else asyncio would log that of a caller who has just left
        if self._steps.pop(job, None):
            self._queue.drop(job)
            self._changes.notify()

    def _push(self, job: Job) -> None:
        try:
            self._queue.push(job)
        except QueueFull as full:
            raise self._with_retry_after(full) from None
        if self._may_take_batch():
            self._changes.notify()

    def _has_compiled(self, keywords: tuple[str, ...]) -> bool:
        return not (keywords and self._model) or self._model.has_compiled(keywords)

    async def _compile(self, keywords: tuple[str, ...]) -> None:
        """Compile new keywords before their clip joins the queue, where others in its batch would wait for that."""
        if self._model and not self._has_compiled(keywords):
            await asyncio.get_running_loop().run_in_executor(self._compiler, self._model.compile, keywords)

    def _set_expiry(self) -> None:
        """Set the timer for expired jobs. One is enough, as all jobs may wait equally long."""
        if self._expiry is None and self._queue.next_deadline < math.inf:
            self._expiry = asyncio.get_running_loop().call_at(self._queue.next_deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for job in self._queue.pop_expired(asyncio.get_running_loop().time()):
            self._end_expired(job)
        self._set_expiry()

    def _end_expired(self, job: Job) -> None:
        limit_s = self._settings.max_queue_wait_s
        message = f"The request waited in the queue for longer than {limit_s:g} s. Try again later."
        self._fail(job, QueueTimeout(message, retry_after_s=limit_s))

    async def _work(self, model: Model, lane: int) -> None:
        """Run batches until cancelled. An error outside the model fails the batch; five in a row stop the service."""
        loop = asyncio.get_running_loop()
        failures = 0
        while failures < MAX_LANE_FAILURES:
            jobs: list[Job] = []
            try:
                async with self._turn:
                    jobs = await self._next_batch()
                    self._batches += 1
                    self._running_samples += sum(job.length for job in jobs)
                    started = loop.time()
                await self._run(model, lane, jobs)
                failures = 0
            except Exception:
                failures += 1
                log.exception("Lane %d failed, and goes on with the next batch.", lane)
                for job in jobs:
                    self._fail(job, TranscriptionFailed("The server met an unexpected error. Try again."))
            finally:
                if jobs:
                    self._batches -= 1
                    self._running_samples -= sum(job.length for job in jobs)
                    self._batches_run += 1
                    self._note_batch_end(jobs, started, loop.time())
                self._changes.notify()
        self._give_up(f"lane {lane} has failed {failures} times in a row")

    async def _next_batch(self) -> list[Job]:
        """Wait for jobs and for the best time to run them; return the next batch."""
        loop = asyncio.get_running_loop()
        while True:
            await self._changes.until(self._may_take_batch)
            # An idle model's batch can grow by the callers of the last batch, and by requests in preparation.
            await self._until_due_or(self._wait_for_callers_until, lambda: self._resubmissions.all_back)
            if not self._queue.has_batch:  # all callers have left
                continue
            await self._until_due_or(self._queue.oldest_at + self._window_s, lambda: self._queue.preparing == 0)
            popped = self._queue.pop_batch(loop.time())
            for job in popped.expired:
                self._end_expired(job)
            if self._room.locked():  # a further clip waits for room
                self._changes.notify()
            if popped.batch:
                return popped.batch

    def _may_take_batch(self) -> bool:
        return self._queue.has_batch and (self._batches == 0 or self._queue.has_full_batch)

    def _note_batch_end(self, jobs: Sequence[Job], started: float, now: float) -> None:
        """Note that a batch has ended. The next one waits for callers of clips only if other jobs wait too."""
        if jobs[0].is_step:
            self._gather_steps(self._pace.gather_s(now - started, now))
            return
        self._resubmissions.batch_ended(len(jobs), now)
        wait_s = self._resubmissions.wait_s(now - started) if len(self._queue) else 0.0
        self._wait_for_callers_until = now + min(wait_s, self._window_s)

    def _gather_steps(self, seconds: float) -> None:
        """Let steps wait for further steps for some time. Meanwhile, clips may run."""
        if self._gathering:
            self._gathering.cancel()
        self._queue.gather_steps(seconds > 0)
        if seconds > 0:
            self._gathering = asyncio.get_running_loop().call_later(seconds, self._end_gathering)

    def _end_gathering(self) -> None:
        self._gathering = None
        self._queue.gather_steps(False)
        if self._may_take_batch():
            self._changes.notify()

    async def _until_due_or(self, deadline: float, condition: Callable[[], bool]) -> None:
        """Wait until the next batch is full or one of steps, a condition holds, or a time of the event loop has come.

        A batch of steps does not wait: what may come are clips.
        """

        def is_due() -> bool:
            return condition() or self._queue.has_batch_of_steps or self._queue.has_full_batch

        if is_due():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._changes.until(is_due)

    async def _run(self, model: Model, lane: int, jobs: Sequence[Job]) -> None:
        """Run a batch and end its jobs. A batch that raises is halved, so that only the job that causes it fails."""
        jobs = self._awaited(jobs)
        if not jobs:
            return
        try:
            await self._run_whole(model, lane, jobs)
            return
        except DeviceLost as error:
            self._give_up(str(error))
            return
        except Exception as error:
            log.error("A batch of %d failed in lane %d: %s: %s", len(jobs), lane, type(error).__name__, error)
            if len(jobs) == 1:
                self._fail(jobs[0], _failure(error))
                return
        # Outside the handler, where the error would keep memory alive that the halves need.
        middle = len(jobs) // 2
        await self._run(model, lane, jobs[:middle])
        await self._run(model, lane, jobs[middle:])

    async def _run_whole(self, model: Model, lane: int, jobs: Sequence[Job]) -> None:
        loop = asyncio.get_running_loop()
        # Steps are collated fast: on a model that is free, a further change of threads would cost more.
        batch = None if jobs[0].is_step and not self._model_lock.locked() else await self._collate(model, jobs)
        async with self._model_lock:
            awaited = self._awaited(jobs)
            if len(awaited) < len(jobs):  # callers left while the model ran the batch before
                jobs = awaited
                if not jobs:
                    return
                batch = batch and await self._collate(model, jobs)
            started = loop.time()
            results = await self._with_time_limit(loop.run_in_executor(self._model_thread, _infer, model, batch, jobs))
            inference_s = loop.time() - started
        self._note_pace(jobs, inference_s, loop.time())
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, StepResult):
                step = self._steps.pop(job, None)
                if step and not step.done():
                    step.set_result(result)
            else:
                clip = self._clips.pop(job, None)
                if clip and not clip.done():
                    clip.set_result(Outcome(result, started - job.enqueued_at, inference_s, lane, len(jobs)))

    def _note_pace(self, jobs: Sequence[Job], took_s: float, now: float) -> None:
        self._recent_batches.add(EndedBatch(now, len(jobs), sum(job.audio_s for job in jobs), took_s))
        steps = [job.work for job in jobs if isinstance(job.work, StreamStep)]
        if steps:
            self._pace.note_steps(len(steps), sum(step.take_frames for step in steps) * FRAME_SECONDS, took_s, now)
        else:
            self._pace.note_clips(took_s, now)

    async def _with_time_limit(self, running: asyncio.Future[_Results]) -> _Results:
        """Return the results of a batch.

        Raises:
            DeviceLost: the model hangs. Its thread cannot be ended, so only a new process helps.
        """
        limit_s = self._settings.watchdog_s
        done, _ = await asyncio.wait({running}, timeout=limit_s)
        if not done:
            raise DeviceLost(f"a batch has taken longer than {limit_s:g} s (PARAKEET_WATCHDOG_S)")
        return running.result()

    def _awaited(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of `jobs` that a caller waits for; none once the model has failed."""
        return [] if self._broken else [job for job in jobs if self._is_awaited(job)]

    def _is_awaited(self, job: Job) -> bool:
        future = self._clips.get(job) or self._steps.get(job)
        return future is not None and not future.done()

    async def _collate(self, model: Model, jobs: Sequence[Job]) -> Batch | StepBatch:
        return await asyncio.get_running_loop().run_in_executor(self._collators, _collate, model, jobs)

    def _fail(self, job: Job, error: ServiceError) -> None:
        future = self._clips.pop(job, None) or self._steps.pop(job, None)
        if future and not future.done():
            future.set_exception(error)

    def _with_retry_after(self, full: QueueFull) -> QueueFull:
        return QueueFull(full.message, retry_after_s=self._settings.max_queue_wait_s)


def _collate(model: Model, jobs: Sequence[Job]) -> Batch | StepBatch:
    """Collate the work of jobs, which are all clips or all steps."""
    steps = [job.work for job in jobs if isinstance(job.work, StreamStep)]
    if steps:
        return model.collate_steps(steps)
    clips = [job.work for job in jobs]
    return model.collate([clip.samples for clip in clips], [clip.keywords for clip in clips])


def _infer(model: Model, batch: Batch | StepBatch | None, jobs: Sequence[Job]) -> _Results:
    """Run a batch of jobs; collate it first if that is not done."""
    batch = batch or _collate(model, jobs)
    results = model.advance(batch) if isinstance(batch, StepBatch) else model.transcribe(batch)
    if len(results) != len(jobs):
        raise RuntimeError(f"{len(results)} results for {len(jobs)} jobs")
    return results


def _failure(error: Exception) -> ServiceError:
    """Return the error for the sender of a clip that failed alone."""
    if isinstance(error, MemoryExhausted):
        message = (
            "There is not enough memory for this audio at the moment. Try again later, or send it in shorter pieces."
        )
        return OutOfMemory(message, retry_after_s=READY_RETRY_S)
    return TranscriptionFailed("The model could not transcribe this audio. Other requests are not affected.")


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("The server is shutting down. Try again later.", retry_after_s=READY_RETRY_S)
