"""A replica of the simulated fleet: the service's own queue, limits and admission, and a model that only takes time."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from src.audio.samples import SAMPLE_RATE
from src.engine.batch_limits import PREFERRED_SIZES, BatchLimits
from src.fleet.replica_load import ReplicaLoad
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job, Kind, Slot
from src.settings import Settings

SPEED = 6000.0
"""Seconds of audio that the model takes in a second."""
BATCH_S = 0.005
"""Seconds that a batch takes by itself, however little audio is in it."""
PADDING = 1.17
"""How much longer a batch is with its padding: it is sorted and split (`encoder/sub_batches.py`)."""
LIVE_COST = 4.0
"""Seconds of audio that the model encodes for each second of a session: steps of 0.96 s (`live_bench.py`)."""
MAX_LIVE_SHARE = 0.7
"""Share of the model's time that sessions take at most: then their steps get longer (`scheduling/pace.py`)."""
CHUNKS_AHEAD = 2
"""Chunks of one file that are in the queue at a time, as in `transcription/service.py`."""
SETTINGS = Settings()
LIMITS = BatchLimits(64, 64 * 30.0, PREFERRED_SIZES)
"""A batch on a large GPU, as in `batch_limits.py`."""
MAX_QUEUED_S = 14_400.0
"""Decoded audio in the queue, as in `memory/plan.py` where there is memory enough."""
REMEMBERED = 0.9
"""What a batch counts for in the measured speed, compared with the one after it."""
_SILENCE = np.zeros(round(SETTINGS.chunk_seconds * SAMPLE_RATE), np.float32)


@dataclass(eq=False)
class File:
    """A file that a replica has admitted."""

    slot: Slot
    on_end: Callable[[], None]
    """Called when it has ended, however."""
    rest_s: float
    """Seconds of its audio that are not queued yet."""
    is_long: bool
    running: int = 0
    """Chunks that are in the queue or in a batch."""
    queued_at: float | None = None


@dataclass
class Replica:
    """One replica.

    Args:
        speed: seconds of audio that its model takes in a second, without sessions.
    """

    speed: float = SPEED
    sessions: int = 0
    uploads: int = 0
    waits_s: list[float] = field(default_factory=list)
    """How long the first clip of each file has waited."""
    late: int = 0
    """Files whose first clip waited for too long: 503."""
    full: int = 0
    """Files for which there was no slot, or whose first clip had no room in the queue: 429."""

    def __post_init__(self) -> None:
        self.queue = JobQueue(
            slots=SETTINGS.queue_max_factor * LIMITS.max_clips,
            max_batch=LIMITS.max_clips,
            max_batch_audio_s=LIMITS.max_audio_s,
            max_audio_s=MAX_QUEUED_S,
            preferred_sizes=LIMITS.preferred_sizes,
        )
        self._files: dict[Job, File] = {}
        self._batch: list[Job] = []
        self._no_room: deque[File] = deque()
        self._ran_s = self._took_s = 0.0

    @property
    def load(self) -> ReplicaLoad:
        """What it reports."""
        queued_s = self.queue.audio_s + sum(job.audio_s for job in self._batch)
        speed = self._ran_s / self._took_s if self._took_s else 0.0
        return ReplicaLoad(queued_s, self.uploads, self.sessions, SETTINGS.max_sessions, speed)

    @property
    def is_idle(self) -> bool:
        """Whether its model runs nothing."""
        return not self._batch

    def admit(self, audio_s: float, on_end: Callable[[], None]) -> File | None:
        """Admit a file and return it; None if all slots are taken."""
        if not self.queue.has_slot:
            self.full += 1
            on_end()
            return None
        self.uploads += 1
        return File(self.queue.reserve(), on_end, audio_s, audio_s > SETTINGS.chunk_seconds)

    def add_clips(self, file: File, now: float) -> None:
        """Queue the next clips of a file, as many as there may be; the others once those have ended."""
        while file.rest_s > 0 and file.running < CHUNKS_AHEAD:
            samples = _SILENCE[: round(file.rest_s * SAMPLE_RATE)]
            is_first = file.queued_at is None
            if not self.queue.has_room(len(samples)):
                if is_first:
                    self.full += 1
                    self.queue.release(file.slot)
                    self._fail(file)
                else:
                    self._no_room.append(file)
                return
            deadline = now + SETTINGS.max_queue_wait_s if is_first else math.inf
            job = Job(Clip(samples), file.slot, now, deadline, Kind.CHUNK if file.is_long else Kind.UPLOAD)
            self.queue.push(job)
            self._files[job] = file
            file.queued_at = now
            file.rest_s = max(0.0, file.rest_s - SETTINGS.chunk_seconds)
            file.running += 1

    def begin_batch(self, now: float) -> float | None:
        """Take the next batch and return how long it takes; None if nothing waits. Files that are late end."""
        popped = self.queue.pop_batch(now)
        for job in popped.expired:
            self.late += 1
            self._files[job].rest_s = 0.0
            self._end(job)
        self._batch = popped.batch
        if not self._batch:
            return None
        for job in self._batch:
            if job.deadline < math.inf:
                self.waits_s.append(now - job.enqueued_at)
        live_share = min(self.sessions * LIVE_COST / self.speed, MAX_LIVE_SHARE)
        audio_s = sum(job.audio_s for job in self._batch)
        took_s = (BATCH_S + PADDING * audio_s / self.speed) / (1 - live_share)
        self._ran_s = REMEMBERED * self._ran_s + audio_s
        self._took_s = REMEMBERED * self._took_s + took_s
        return took_s

    def end_batch(self, now: float) -> None:
        """End the batch that runs: its files go on, or end."""
        batch, self._batch = self._batch, []
        for job in batch:
            self.add_clips(self._end(job), now)
        for _ in range(len(self._no_room)):
            self.add_clips(self._no_room.popleft(), now)

    def _end(self, job: Job) -> File:
        file = self._files.pop(job)
        file.running -= 1
        self._end_if_done(file)
        return file

    def _fail(self, file: File) -> None:
        """Let a file have no further clips."""
        file.rest_s = 0.0
        self._end_if_done(file)

    def _end_if_done(self, file: File) -> None:
        if not file.running and file.rest_s <= 0:
            self.uploads -= 1
            file.on_end()
