"""When the next batch leaves the queue: as late as it can. No clock, no waiting: times are given by the caller.

That is when the model is idle, or when the batch is full and cannot improve by waiting. So batches grow by themselves
under load, a lone request starts at once, and the next lane collates its batch while the model runs. An idle model may
wait a little for the callers of the last batch, and for requests in preparation.
"""

from collections.abc import Sequence

from src.audio.samples import SAMPLE_RATE
from src.engine.frames import FRAME_SECONDS
from src.engine.model import StreamStep
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Job
from src.scheduling.pace import Pace
from src.scheduling.recent_batches import EndedBatch, RecentBatches
from src.scheduling.resubmissions import Resubmissions


class BatchTiming:
    """Decides when batches leave the queue, from those that have.

    Args:
        queue: the queue.
        pace: learns what batches take.
        window_s: longest wait of an idle model, in seconds.
    """

    def __init__(self, queue: JobQueue, pace: Pace, window_s: float) -> None:
        self.pace = pace
        """How long the steps of live text should be."""
        self.recent = RecentBatches()
        """The batches of the last seconds."""
        self.batches_run = 0
        """Number of batches that have ended."""
        self.callers_until = 0.0
        """Until when the next batch waits for the callers of the last one."""
        self._queue = queue
        self._window_s = window_s
        self._resubmissions = Resubmissions()
        self._running = 0
        self._running_samples = 0

    @property
    def running(self) -> int:
        """Number of batches that have left the queue and not ended."""
        return self._running

    @property
    def running_audio_s(self) -> float:
        """Seconds of audio in them."""
        return self._running_samples / SAMPLE_RATE

    # -- the next batch ------------------------------------------------------------------------------------------------

    @property
    def may_take(self) -> bool:
        """Whether a lane may take the next batch, though an idle model may wait a little for more jobs."""
        return self._queue.has_batch and (self._running == 0 or self._queue.has_full_batch)

    @property
    def cannot_improve(self) -> bool:
        """Whether the next batch is full, or one of steps. It does not wait: what may come are clips."""
        return self._queue.has_batch_of_steps or self._queue.has_full_batch

    @property
    def callers_are_back(self) -> bool:
        """Whether as many jobs have been queued since the last batch ended as it had."""
        return self._resubmissions.all_back

    @property
    def nothing_is_prepared(self) -> bool:
        """Whether no request is being uploaded or decoded."""
        return self._queue.preparing == 0

    @property
    def preparing_until(self) -> float:
        """Until when the next batch waits for requests that are being uploaded or decoded."""
        return self._queue.oldest_at + self._window_s

    # -- what happens --------------------------------------------------------------------------------------------------

    def clip_queued(self, now: float) -> None:
        """Note that a clip has joined the queue."""
        self._resubmissions.job_queued(now)

    def batch_begins(self, jobs: Sequence[Job]) -> None:
        """Note that a batch has left the queue."""
        self._running += 1
        self._running_samples += sum(job.length for job in jobs)

    def batch_ran(self, jobs: Sequence[Job], took_s: float, now: float) -> None:
        """Note that the model has run jobs, a batch or a part of it, in `took_s` seconds."""
        self.recent.add(EndedBatch(now, len(jobs), sum(job.audio_s for job in jobs), took_s))
        steps = [job.work for job in jobs if isinstance(job.work, StreamStep)]
        if steps:
            self.pace.note_steps(len(steps), sum(step.take_frames for step in steps) * FRAME_SECONDS, took_s, now)
        else:
            self.pace.note_clips(took_s, now)

    def batch_ended(self, jobs: Sequence[Job], took_s: float, now: float) -> float | None:
        """Note that a batch has ended, `took_s` seconds after it left the queue.

        Return for how many seconds steps now wait for further steps; None if nothing changes. The next batch waits for
        callers of clips only if other jobs wait too.
        """
        self._running -= 1
        self._running_samples -= sum(job.length for job in jobs)
        self.batches_run += 1
        if jobs[0].is_step:
            return self.pace.gather_s(took_s, now)
        self._resubmissions.batch_ended(len(jobs), now)
        wait_s = self._resubmissions.wait_s(took_s) if len(self._queue) else 0.0
        self.callers_until = now + min(wait_s, self._window_s)
        return None
