"""The queue: who may wait, in which order, and who shares a batch. No clock, no event loop, no I/O.

A request first reserves a `Slot`, before its body is read. Its clip then joins the queue as a `Job` that takes over
the place, and gives it back when it leaves the queue for a batch (or for good). So places bound how many requests wait,
wherever they are on their way. The same holds for the steps of a live stream; a batch has clips or steps, never both.

Order is one number, the rank: the time a job was enqueued minus the head start of its kind. A job is overtaken only by
those that come within the difference of two head starts after it, so nothing starves. What a client asks to be high is
so for half a batch at a time. The rest is normal: else high meant nothing once one client asks for nothing else.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import preferred_batch_size
from src.engine.model import StreamStep
from src.errors import QueueFull
from src.scheduling.length_index import LengthIndex
from src.scheduling.sorted_deque import Entry, SortedDeque


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
class Slot:
    """The right of one request to wait. `held` until its job leaves the queue or it is released."""

    client: str | None = None
    """Whose request it is; None for one that has no share to keep to."""
    held: bool = True
    queued: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Audio to be transcribed in one piece: (samples,) float32 at 16 kHz, and the hot words to listen for."""

    samples: Samples
    keywords: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Job:
    """A clip or a step of a stream that waits for the model; when it was enqueued and gives up, in seconds."""

    work: Clip | StreamStep
    slot: Slot
    enqueued_at: float
    deadline: float = math.inf
    kind: Kind = Kind.UPLOAD
    priority: Priority = Priority.NORMAL

    @property
    def rank(self) -> float:
        """Its place in the order."""
        return self.enqueued_at - self.kind.value - self.priority.value

    @property
    def length(self) -> int:
        """Length of its audio in samples, context included."""
        return len(self.work.samples)

    @property
    def audio_s(self) -> float:
        """The same in seconds."""
        return self.length / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Popped:
    """What left the queue: a batch for the model, and the jobs whose deadline had passed."""

    batch: list[Job]
    expired: list[Job]


@dataclass(slots=True)
class _Forming:
    """The next batch: the first jobs in order that go together, all of one type.

    Args:
        max_clips: jobs that it may have.
        max_samples: its padded size at most, longest times number; a longer job goes alone.
    """

    max_clips: int
    max_samples: float
    entries: dict[Job, Entry[Job]] = field(default_factory=dict)
    shortest: int = 0
    longest: int = 0
    outgrown_by: Job | None = None
    """The first one that is alike, and would make it larger than it may be."""

    @property
    def is_full(self) -> bool:
        """Whether no job that comes after all others can make it larger, but for very short ones."""
        return self.outgrown_by is not None or len(self.entries) == self.max_clips

    @property
    def first(self) -> Entry[Job]:
        """The first of its jobs."""
        return next(iter(self.entries.values()))

    @property
    def last(self) -> Entry[Job]:
        """The last of its jobs."""
        return next(reversed(self.entries.values()))

    @property
    def like(self) -> tuple[float, float]:
        """The shortest and the longest of jobs that are alike to all of its own, in samples."""
        if not self.entries:
            return 0, math.inf
        short = SHORT_S * SAMPLE_RATE
        return (
            self.longest / LIKE_LENGTH if self.longest > LIKE_LENGTH * short else 0,
            LIKE_LENGTH * max(self.shortest, short),
        )

    @property
    def room(self) -> float:
        """The longest job that its padded size leaves room for, in samples; negative where there is none for any."""
        if not self.entries:
            return math.inf
        longest = self.max_samples / (len(self.entries) + 1)
        return longest if longest >= self.longest else -1

    def add(self, entry: Entry[Job]) -> None:
        """Take in a job, at its place in the order."""
        length = entry[2].length
        is_last = not self.entries or self.last < entry
        self.shortest = min(self.shortest, length) if self.entries else length
        self.longest = max(self.longest, length)
        self.entries[entry[2]] = entry
        if not is_last:
            self.entries = {each[2]: each for each in sorted(self.entries.values())}

    def takes(self, job: Job) -> bool:
        """Say whether a job goes with all others; note it where it is only too much."""
        shortest, longest = self.like
        if len(self.entries) == self.max_clips or not shortest <= job.length <= longest:
            return False
        if job.length > self.room:
            self.outgrown_by = self.outgrown_by or job
            return False
        return True


class JobQueue:
    """Jobs in the order of their rank, behind a fixed number of places.

    What an operation costs does not grow with the number of jobs: those of the next batch are kept together, and the
    rest are sorted by length.

    Args:
        places: requests that may wait at once.
        max_batch: clips in one batch.
        max_batch_audio_s: padded size of a batch, longest clip times clips, in seconds; a longer clip goes alone.
        max_audio_s: decoded audio that may wait in memory, in seconds; one clip may always wait.
        preferred_sizes: where more wait than the least of these numbers, so many as one of them says go at once.
    """

    def __init__(
        self,
        *,
        slots: int,
        max_batch: int,
        max_batch_audio_s: float,
        max_audio_s: float,
        preferred_sizes: Sequence[int] = (),
    ) -> None:
        self.slots = slots
        """Requests that may wait at once."""
        self._preferred_sizes = preferred_sizes
        self._max_batch = max_batch
        self._max_batch_samples = max_batch_audio_s * SAMPLE_RATE
        self._max_audio_s = max_audio_s
        self._max_high = max(1, max_batch // 2)
        self._numbers = count()
        self._entries: OrderedDict[Job, Entry[Job]] = OrderedDict()
        """All jobs in the order in which they came. (A plain dict is slow to find its first after many have left.)"""
        self._forming = self._new_batch()
        self._others: dict[type[Clip | StreamStep], LengthIndex[Job]] = {Clip: LengthIndex(), StreamStep: LengthIndex()}
        """All jobs that are not in the next batch, as far as that has been put together."""
        self._by_deadline: SortedDeque[Job] = SortedDeque()
        self._high: Counter[str | None] = Counter()
        """What waits of each client with high priority."""
        self._held = 0
        self._on_their_way = 0
        self._samples = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held(self) -> int:
        """Places taken: requests on their way and those in the queue."""
        return self._held

    @property
    def preparing(self) -> int:
        """Requests that hold a place and have not enqueued their clip yet."""
        return self._on_their_way

    @property
    def audio_s(self) -> float:
        """Seconds of decoded audio in the queue."""
        return self._samples / SAMPLE_RATE

    @property
    def oldest_at(self) -> float:
        """When the job that waits longest was enqueued; infinity where none waits."""
        return next(iter(self._entries)).enqueued_at if self._entries else math.inf

    @property
    def next_deadline(self) -> float:
        """When the first of the jobs gives up; infinity where none does."""
        first = self._by_deadline.first
        return first[0] if first else math.inf

    @property
    def has_full_batch(self) -> bool:
        """Whether the next batch cannot grow any more by waiting."""
        self._form()
        return self._forming.is_full

    def reserve(self, client: str | None = None) -> Slot:
        """Take a place for a request of `client` that has just arrived.

        Raises:
            QueueFull: all places are taken.
        """
        if self._held >= self.slots:
            raise QueueFull(f"All {self.slots} places of the queue are taken. Try again later.")
        self._held += 1
        self._on_their_way += 1
        return Slot(client)

    def release(self, slot: Slot) -> None:
        """Give back the place of a request that will not enqueue anything; again and after its job left, do nothing."""
        if slot.held and not slot.queued:
            self._free(slot)
            self._on_their_way -= 1

    def has_room(self, samples: int) -> bool:
        """Return whether a clip of so many samples may wait; where no other waits, any may."""
        return not self._entries or (self._samples + samples) / SAMPLE_RATE <= self._max_audio_s

    def push(self, job: Job) -> None:
        """Enqueue a job under the place its request holds; a further job of the same request needs no place.

        Raises:
            QueueFull: too much decoded audio is waiting; the place stays with the caller.
        """
        if not self.has_room(job.length):
            raise QueueFull(f"More than {self._max_audio_s:g} s of audio is waiting already. Try again later.")
        if job.slot.held and not job.slot.queued:
            job.slot.queued = True
            self._on_their_way -= 1
        client = job.slot.client
        if job.priority is Priority.HIGH and client is not None:
            if self._high[client] >= self._max_high:
                job.priority = Priority.NORMAL
            else:
                self._high[client] += 1
        self._samples += job.length
        number = next(self._numbers)
        if job.deadline < math.inf:
            self._by_deadline.add((job.deadline, number, job))
        self._entries[job] = entry = (job.rank, number, job)
        self._sort_in(entry)

    def drop(self, job: Job) -> bool:
        """Take a job out of the queue, and say whether it was still there."""
        if job not in self._entries:
            return False
        self._remove(job)
        return True

    def pop_expired(self, now: float) -> list[Job]:
        """Take out the jobs whose deadline has passed."""
        expired = []
        while (first := self._by_deadline.first) and first[0] <= now:
            expired.append(first[2])
            self._remove(first[2])
        return expired

    def pop_batch(self, now: float) -> Popped:
        """Take out the jobs whose deadline has passed, then the next batch: the first in order and those like it."""
        expired = self.pop_expired(now)
        self._form()
        forming, self._forming = self._forming, self._new_batch()
        entries = list(forming.entries.values())
        whole = preferred_batch_size(len(entries), self._preferred_sizes)
        for entry in entries[whole:]:
            self._sort_in(entry)
        batch = [job for _, _, job in entries[:whole]]
        for job in batch:
            self._forget(job)
        return Popped(batch, expired)

    def _new_batch(self) -> _Forming:
        return _Forming(self._max_batch, self._max_batch_samples)

    def _form(self) -> None:
        """Put the next batch together, unless that is done."""
        if self._forming.entries or not self._entries:
            return
        forming = self._forming
        others = min(self._others.values(), key=lambda each: each.first() or (math.inf,))
        while len(forming.entries) < self._max_batch:
            shortest, longest = forming.like
            entry = others.first(shortest, min(longest, forming.room) if forming.outgrown_by else longest)
            if entry is None:
                break
            if forming.takes(entry[2]):
                others.remove(entry)
                forming.add(entry)

    def _sort_in(self, entry: Entry[Job]) -> None:
        """Put a new job into the next batch, where that stands and the job belongs to it, or else with the others."""
        forming, job = self._forming, entry[2]
        if forming.entries and type(job.work) is type(forming.first[2].work):
            outgrown_by = forming.outgrown_by
            if outgrown_by and entry < self._entries[outgrown_by]:
                self._unform()
            elif forming.takes(job):
                forming.add(entry)
                return
            elif entry < forming.last:
                self._unform()
        elif forming.entries and entry < forming.first:
            self._unform()
        self._others[type(job.work)].add(entry)

    def _unform(self) -> None:
        """Put the jobs of the next batch back, as it may be another one now."""
        undone, self._forming = self._forming, self._new_batch()
        for job, entry in undone.entries.items():
            self._others[type(job.work)].add(entry)

    def _remove(self, job: Job) -> None:
        if job in self._forming.entries or job is self._forming.outgrown_by:
            self._unform()
        self._others[type(job.work)].remove(self._entries[job])
        self._forget(job)

    def _forget(self, job: Job) -> None:
        """Give back what a job held that is neither in the next batch nor with the others any more."""
        _, number, _ = self._entries.pop(job)
        if job.deadline < math.inf:
            self._by_deadline.remove((job.deadline, number, job))
        client = job.slot.client
        if job.priority is Priority.HIGH and client is not None:
            self._high[client] -= 1
            if not self._high[client]:
                del self._high[client]
        self._samples -= job.length
        if job.slot.held:
            self._free(job.slot)

    def _free(self, slot: Slot) -> None:
        slot.held = slot.queued = False
        self._held -= 1
