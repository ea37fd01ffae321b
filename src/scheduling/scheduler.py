"""The scheduler: it admits requests, queues their jobs and has them run on the model in batches.

`Admissions` has the requests, `JobQueue` decides about order and size of batches, `BatchTiming` when one leaves the
queue; `Lanes` take and run them in `ModelThreads`. This module joins these and waits for room, slots and deadlines.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from src.audio.samples import Samples
from src.engine.batch_limits import BatchLimits
from src.engine.model import Model, StepResult, StreamStep
from src.errors import ModelFailed, QueueFull, ServiceError
from src.notifier import Notifier
from src.scheduling.admissions import Admission, Admissions
from src.scheduling.awaited_jobs import AwaitedJobs
from src.scheduling.batch_timing import BatchTiming
from src.scheduling.failures import model_failed, not_ready, shutting_down, waited_too_long
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job, Kind, Priority, Slot
from src.scheduling.lanes import Lanes
from src.scheduling.model_threads import ModelThreads
from src.scheduling.outcome import Outcome
from src.scheduling.pace import Pace
from src.settings import Settings
from src.text.transcript import Transcript

log = logging.getLogger(__name__)


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
        self._refuses = False  # further requests
        self._stopped = False
        self._changes = Notifier()  # for everything that lanes, requests and `stop` wait for
        self._room = asyncio.Lock()  # held by the request that waits for room for a further clip
        self._expiry: asyncio.TimerHandle | None = None  # of the earliest deadline in the queue
        self._threads = ModelThreads(settings.lanes, settings.watchdog_s)
        self._awaited = AwaitedJobs()
        self._limit(BatchLimits.from_settings(settings))  # again once the model, and so its device, is known

    def _limit(self, limits: BatchLimits) -> None:
        """Make the parts whose sizes follow from those of batches. Nothing is admitted yet."""
        settings = self._settings
        self._queue = JobQueue(
            slots=settings.queue_max_factor * limits.max_clips,
            max_batch=limits.max_clips,
            max_batch_audio_s=limits.max_audio_s,
            max_audio_s=settings.max_queued_audio_s or math.inf,
            preferred_sizes=limits.preferred_sizes,
        )
        chunk_s = settings.realtime_chunk_s
        min_step_s = min(settings.realtime_min_chunk_s, chunk_s)
        pace = Pace(min_step_s, 2 * chunk_s if min_step_s < chunk_s else chunk_s, limits.max_clips)
        self._timing = BatchTiming(self._queue, pace, settings.microbatch_window_ms / 1000)
        self._admissions = Admissions(self._queue, settings.max_queue_wait_s)
        self._lanes = Lanes(
            self._queue, self._timing, self._threads, self._awaited, self._changes, self._note_popped, self._give_up
        )

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether requests are admitted."""
        return self._lanes.are_running and not self._refuses and not self._broken

    @property
    def model_failed(self) -> bool:
        """Whether the model has failed for good."""
        return self._broken is not None

    @property
    def languages(self) -> Sequence[str]:
        """ISO 639-1 codes of the model's languages; none before it is loaded."""
        return self._threads.model.languages if self._threads.model else ()

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
        return len(self._admissions) + self._awaited.step_count

    @property
    def idle(self) -> bool:
        """Whether no request and no step is in progress."""
        return self.admitted == 0 and self._timing.running == 0

    @property
    def batches_run(self) -> int:
        """Number of batches finished since the start."""
        return self._timing.batches_run

    @property
    def queued_audio_s(self) -> float:
        """Seconds of decoded audio in the queue."""
        return self._queue.audio_s

    @property
    def running_audio_s(self) -> float:
        """Seconds of audio in the batches that have left the queue and not ended."""
        return self._timing.running_audio_s

    @property
    def uploads(self) -> int:
        """Number of requests in progress, from their admission to their end; what is owed to sessions not counted."""
        return self._admissions.uploads

    @property
    def mean_batch_size(self) -> float:
        """Mean number of clips or steps in the batches of the last seconds; 0 if there were none."""
        return self._timing.recent.mean_size(asyncio.get_running_loop().time())

    @property
    def audio_s_per_s(self) -> float:
        """Seconds of audio that the model took for each second that it ran lately; 0 before its first batch."""
        return self._timing.recent.audio_s_per_s

    @property
    def step_s(self) -> float:
        """The shortest step that live text should take now, in seconds of audio."""
        return self._timing.pace.step_s(self._awaited.step_count, asyncio.get_running_loop().time())

    def check_ready(self) -> None:
        """Return if requests are admitted, else raise.

        Raises:
            ModelNotReady: the model is still loading.
            ModelFailed: it has failed for good.
            ShuttingDown: the server is stopping.
        """
        if self._refuses and not self._broken:
            raise shutting_down()
        self._check_running()

    def _check_running(self) -> None:
        """Return if work is done: that of requests and, while the server stops, what it owes to open sessions."""
        if self._broken:
            raise self._broken
        if self._stopped:
            raise shutting_down()
        if not self._lanes.are_running:
            raise not_ready()

    # -- from start to stop --------------------------------------------------------------------------------------------

    async def start(self, load: Callable[[], Model]) -> None:
        """Load the model in the thread that will run it, then start the lanes.

        Raises:
            ModelUnavailable: raised by `load`.
        """
        model = await self._threads.load(load)
        limits = model.limits.with_settings(self._settings)
        self._limit(limits)
        log.info("Batches: %s; %d requests at a time.", limits, self._queue.slots)
        if not self._refuses:
            self._lanes.start(self._settings.lanes)

    def refuse_requests(self) -> None:
        """Admit no further request. What is owed to open sessions is still admitted, until `stop` is called."""
        self._refuses = True

    async def stop(self, grace_s: float) -> None:
        """Reject new work, give what is in progress `grace_s` seconds, and end the rest with `ShuttingDown`."""
        self._refuses = self._stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._changes.until(lambda: self.admitted == 0)
        self._end_all(shutting_down())
        await self._lanes.stop()
        self._threads.stop()

    def _end_all(self, error: ServiceError) -> None:
        """End every request and step in progress."""
        self._admissions.end_all(error, asyncio.get_running_loop().time())
        for step in self._awaited.steps:
            self._queue.drop(step)
            self._awaited.fail(step, error)

    def _give_up(self, reason: str) -> None:
        """End all requests with `ModelFailed`, and admit no more."""
        if self._broken:
            return
        log.critical("The model has failed for good, and the service ends: %s", reason)
        self._broken = model_failed()
        self._awaited.close()
        self._end_all(self._broken)
        self._on_breakdown()

    # -- requests and their clips --------------------------------------------------------------------------------------

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
        scope = asyncio.timeout(None)
        admission = self._admissions.add(client, scope, asyncio.get_running_loop().time(), is_owed=is_owed)
        try:
            async with scope:
                yield admission
        except TimeoutError:
            if not scope.expired() or admission.ended_with is None:
                raise
            raise admission.ended_with from None
        finally:
            self._admissions.remove(admission)
            self._changes.notify()

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
        is_first, admission.has_submitted = not admission.has_submitted, True
        admission.body_received()
        await self._threads.compile(keywords)
        if not is_first:
            async with self._room:
                await self._changes.until(lambda: self._queue.has_room(len(samples)))
        now = asyncio.get_running_loop().time()
        # An upload can be sent again, but not live speech.
        waits_forever = not is_first or kind is Kind.REALTIME
        deadline = math.inf if waits_forever else now + self._settings.max_queue_wait_s
        if admission.queued_at is None:
            admission.queued_at = now
        since = now if kind is Kind.CHUNK else admission.queued_at
        job = Job(Clip(samples, keywords), admission.slot, since, deadline, kind, priority)
        self._push(job)
        self._timing.clip_queued(now)
        future = self._awaited.add_clip(job)
        self._set_expiry()
        try:
            return await future
        finally:
            self._queue.drop(job)
            self._awaited.remove(job)
            self._changes.notify()

    def _set_expiry(self) -> None:
        """Set the timer for expired jobs. One is enough, as all jobs may wait equally long."""
        if self._expiry is None and self._queue.next_deadline < math.inf:
            self._expiry = asyncio.get_running_loop().call_at(self._queue.next_deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._end_expired(self._queue.pop_expired(asyncio.get_running_loop().time()))
        self._set_expiry()

    def _note_popped(self, expired: Sequence[Job]) -> None:
        """End jobs that had expired when a batch left the queue, where there is more room now."""
        self._end_expired(expired)
        if self._room.locked():  # a further clip waits for room
            self._changes.notify()

    def _end_expired(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._awaited.fail(job, waited_too_long(self._settings.max_queue_wait_s))

    # -- steps of live text --------------------------------------------------------------------------------------------

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
        if self._threads.has_compiled(step.keywords):
            slot = self._admissions.reserve_slot(client, asyncio.get_running_loop().time())
            return self._queue_step(step, slot, due_at)
        return asyncio.create_task(self._compile_and_advance(step, client, due_at))

    async def _compile_and_advance(self, step: StreamStep, client: str | None, due_at: float | None) -> StepResult:
        async with self.admit(client, is_owed=True) as admission:
            admission.body_received()
            await self._threads.compile(step.keywords)
            return await self._queue_step(step, admission.slot, due_at)

    def _queue_step(self, step: StreamStep, slot: Slot, due_at: float | None) -> asyncio.Future[StepResult]:
        now = asyncio.get_running_loop().time()
        job = Job(step, slot, now, kind=Kind.REALTIME, late_s=0.0 if due_at is None else now - due_at)
        try:
            self._push(job)
        except QueueFull:
            self._queue.release(slot)
            raise
        future = self._awaited.add_step(job)
        future.add_done_callback(partial(self._forget_step, job))
        return future

    def _forget_step(self, job: Job, future: asyncio.Future[StepResult]) -> None:
        """Remove a step that its caller has cancelled. One that has ended otherwise is gone already."""
        if not future.cancelled():
            future.exception()  # else asyncio would log that of a caller who has just left
        if self._awaited.remove(job):
            self._queue.drop(job)
            self._changes.notify()

    def _push(self, job: Job) -> None:
        try:
            self._queue.push(job)
        except QueueFull as full:
            raise QueueFull(full.message, retry_after_s=self._settings.max_queue_wait_s) from None
        if self._timing.may_take:
            self._changes.notify()
