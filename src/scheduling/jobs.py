"""The queue: who may wait, in which order, and who shares a batch. No clock, no event loop, no I/O.

A request first reserves a `Place`, before its body is read. Its clip then joins the queue as a `Job` that takes over
the place, and gives it back when it leaves the queue for a batch (or for good). So places bound how many requests wait,
wherever they are on their way. The same holds for the steps of a live stream; a batch has clips or steps, never both.

Order is one number, the rank: the time a job was enqueued minus the head start of its kind. A job is overtaken only by
those that come within the difference of two head starts after it, so nothing starves. What a client asks to be high is
so for half a batch at a time. The rest is normal: else high meant nothing once one client asks for nothing else.
"""

import bisect
import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from src.asr.streaming import Step
from src.audio.decode import SAMPLE_RATE
from src.errors import QueueFull


class Kind(Enum):
    """Where a clip comes from; the value is its head start in seconds."""

    REALTIME = 2.0
    UPLOAD = 1.0
    CHUNK = 0.0


class Priority(Enum):
    """What the caller asks for; the value shifts the head start in seconds, always within the job's kind."""

    HIGH = 0.4
    NORMAL = 0.0
    LOW = -0.4


LIKE_LENGTH = 2.0
"""Clips share a batch if the longest is at most this many times the shortest: at most half of a batch is padding."""

SHORT_S = 2.0
"""Below this length in seconds clips count as alike, since the fixed cost of a pass outweighs their padding."""


@dataclass(eq=False, slots=True)
class Place:
    """The right of one request to wait. `held` until its job leaves the queue or it is released."""

    client: str | None = None
    """Whose request it is; None for one that has no share to keep to."""
    held: bool = True
    queued: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Audio to be transcribed in one piece: (samples,) float32 at 16 kHz, and the hot words to listen for."""

    samples: NDArray[np.float32]
    boosts: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Job:
    """A clip or a step of a stream that waits for the model; when it was enqueued and gives up, in seconds."""

    work: Clip | Step
    place: Place
    enqueued_at: float
    deadline: float = math.inf
    kind: Kind = Kind.UPLOAD
    priority: Priority = Priority.NORMAL

    @property
    def rank(self) -> float:
        """Its place in the order."""
        return self.enqueued_at - self.kind.value - self.priority.value

    @property
    def audio_s(self) -> float:
        """Length of its audio in seconds, context included."""
        return len(self.work.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Popped:
    """What left the queue: a batch for the model, and the jobs whose deadline had passed."""

    batch: list[Job]
    expired: list[Job]


class JobQueue:
    """Jobs in the order of their rank, behind a fixed number of places.

    Args:
        places: requests that may wait at once.
        max_batch: clips in one batch.
        max_batch_audio_s: padded size of a batch, longest clip times clips, in seconds; a longer clip goes alone.
        max_audio_s: decoded audio that may wait in memory, in seconds; one clip may always wait.
    """

    def __init__(self, *, places: int, max_batch: int, max_batch_audio_s: float, max_audio_s: float) -> None:
        self._places = places
        self._max_batch = max_batch
        self._max_batch_audio_s = max_batch_audio_s
        self._max_audio_s = max_audio_s
        self._max_high = max(1, max_batch // 2)
        self._jobs: list[Job] = []
        self._held = 0
        self._on_their_way = 0
        self._audio_s = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def held(self) -> int:
        """Places taken: requests on their way and those in the queue."""
        return self._held

    @property
    def on_their_way(self) -> int:
        """Requests that hold a place and have not enqueued their clip yet."""
        return self._on_their_way

    @property
    def audio_s(self) -> float:
        """Seconds of decoded audio in the queue."""
        return self._audio_s

    @property
    def oldest_at(self) -> float:
        """When the job that waits longest was enqueued; infinity where none waits."""
        return min((job.enqueued_at for job in self._jobs), default=math.inf)

    @property
    def has_full_batch(self) -> bool:
        """Whether the next batch cannot grow any more by waiting."""
        return self._choose()[1]

    def reserve(self, client: str | None = None) -> Place:
        """Take a place for a request of `client` that has just arrived.

        Raises:
            QueueFull: all places are taken.
        """
        if self._held >= self._places:
            raise QueueFull(f"All {self._places} places of the queue are taken. Try again later.")
        self._held += 1
        self._on_their_way += 1
        return Place(client)

    def release(self, place: Place) -> None:
        """Give back the place of a request that will not enqueue anything; again and after its job left, do nothing."""
        if place.held and not place.queued:
            self._free(place)
            self._on_their_way -= 1

    def has_room(self, samples: int) -> bool:
        """Return whether a clip of so many samples may wait; where no other waits, any may."""
        return not self._jobs or self._audio_s + samples / SAMPLE_RATE <= self._max_audio_s

    def push(self, job: Job) -> None:
        """Enqueue a job under the place its request holds; a further job of the same request needs no place.

        Raises:
            QueueFull: too much decoded audio is waiting; the place stays with the caller.
        """
        if not self.has_room(len(job.work.samples)):
            raise QueueFull(f"More than {self._max_audio_s:g} s of audio is waiting already. Try again later.")
        if job.place.held and not job.place.queued:
            job.place.queued = True
            self._on_their_way -= 1
        if job.priority is Priority.HIGH and self._high_of(job.place.client) >= self._max_high:
            job.priority = Priority.NORMAL
        bisect.insort(self._jobs, job, key=_rank)
        self._audio_s += job.audio_s

    def _high_of(self, client: str | None) -> int:
        """Count what of a client waits with high priority."""
        if client is None:
            return 0
        return sum(job.priority is Priority.HIGH and job.place.client == client for job in self._jobs)

    def drop(self, job: Job) -> bool:
        """Take a job out of the queue, and say whether it was still there."""
        if job not in self._jobs:
            return False
        self._remove(job)
        return True

    def pop_batch(self, now: float) -> Popped:
        """Take out the jobs whose deadline has passed, then the next batch: the first in order and those like it."""
        expired = [job for job in self._jobs if job.deadline <= now]
        for job in expired:
            self._remove(job)
        batch, _ = self._choose()
        for job in batch:
            self._remove(job)
        return Popped(batch, expired)

    def _choose(self) -> tuple[list[Job], bool]:
        """Return the next batch, and whether it is full: at the most clips, or at the padded size that is allowed."""
        batch: list[Job] = []
        shortest_s, longest_s = math.inf, 0.0
        outgrown = False
        for job in self._jobs:
            if len(batch) == self._max_batch:
                break
            if batch and type(job.work) is not type(batch[0].work):
                continue
            shorter_s, longer_s = min(shortest_s, job.audio_s), max(longest_s, job.audio_s)
            if batch and longer_s > LIKE_LENGTH * max(shorter_s, SHORT_S):
                continue
            if batch and longer_s * (len(batch) + 1) > self._max_batch_audio_s:
                outgrown = True
                continue
            batch.append(job)
            shortest_s, longest_s = shorter_s, longer_s
        return batch, outgrown or len(batch) == self._max_batch

    def _remove(self, job: Job) -> None:
        self._jobs.remove(job)
        self._audio_s = self._audio_s - job.audio_s if self._jobs else 0.0
        if job.place.held:
            self._free(job.place)

    def _free(self, place: Place) -> None:
        place.held = place.queued = False
        self._held -= 1


def _rank(job: Job) -> float:
    return job.rank
