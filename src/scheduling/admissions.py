"""The requests in progress. Each has a slot of the queue before its body is read. No clock, no waiting.

If there is no slot for a new request, the slowest upload gives up its own, provided that it is slow.
"""

import asyncio
from dataclasses import dataclass

from src.errors import QueueFull, ServiceError
from src.scheduling.failures import upload_too_slow
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Slot
from src.scheduling.upload_progress import UploadProgress, UploadsInProgress


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


class Admissions:
    """The requests in progress. Times are those of the event loop.

    Args:
        queue: has the slots.
        retry_after_s: when a request that gets no slot should try again, in seconds.
    """

    def __init__(self, queue: JobQueue, retry_after_s: float) -> None:
        self._queue = queue
        self._retry_after_s = retry_after_s
        self._admitted: dict[UploadProgress, Admission] = {}
        self._uploads = UploadsInProgress()

    def __len__(self) -> int:
        return len(self._admitted)

    @property
    def uploads(self) -> int:
        """The number of those that are not owed to a session."""
        return sum(not admission.is_owed for admission in self._admitted.values())

    def add(self, client: str | None, scope: asyncio.Timeout, now: float, *, is_owed: bool) -> Admission:
        """Admit a request of `client`, whose `scope` can be ended.

        Raises:
            QueueFull: all slots are taken.
        """
        admission = Admission(self.reserve_slot(client, now), scope, UploadProgress(now), is_owed)
        self._admitted[admission.upload] = admission
        self._uploads.add(admission.upload)
        return admission

    def remove(self, admission: Admission) -> None:
        """Remove a request that has ended, and release its slot if its job has not."""
        del self._admitted[admission.upload]
        self._uploads.discard(admission.upload)
        self._queue.release(admission.slot)

    def end_all(self, error: ServiceError, now: float) -> None:
        """End the scope of each request with an error."""
        for admission in self._admitted.values():
            admission.end(error, now)

    def reserve_slot(self, client: str | None, now: float) -> Slot:
        """Reserve a slot. If there is none, take that of the slowest upload, provided that it is slow.

        Raises:
            QueueFull: all slots are taken.
        """
        try:
            return self._queue.reserve(client)
        except QueueFull as full:
            slowest = self._uploads.evictable(now)
            if slowest is None:
                raise QueueFull(full.message, retry_after_s=self._retry_after_s) from None
        self._uploads.discard(slowest)
        self._admitted[slowest].end(upload_too_slow(), now)
        self._queue.release(self._admitted[slowest].slot)
        return self._queue.reserve(client)
