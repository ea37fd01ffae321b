"""The queue: which requests may wait, in which order, and which share a batch. No clock, no event loop, no I/O.

A request first reserves a `Slot`, before its body is read. Its clip then joins the queue as a `Job` under that slot.
The slot is free again when the job leaves the queue, for a batch or for good. So slots limit how many requests wait,
whether they are being uploaded, decoded or queued. A step of a live stream takes its slot and joins the queue at once.
A batch has either clips or steps.

The order is one number, the rank: the time a job was enqueued minus the head start of its kind. A late step has up to
`MAX_LATE_S` more. A job can only be overtaken by jobs that come within the difference of two head starts after it, so
nothing starves. A client gets high priority for at most half a batch of waiting jobs at a time, and normal priority for
the rest. Otherwise high would mean nothing as soon as one client asks for nothing else.

Where sessions commit more than the model can take, their clips alone would fill it for longer than an upload may wait.
So after a batch of them, up to half a batch of uploads that have waited for half of their time go first.

Likewise, at most half a batch of a client's steps have their place in the order at a time. The rest are held back: they
fill batches that have room, behind all other jobs, and each gets its place when one of those before it has left. So the
step of another client waits for half a batch of them, even if the model is much too slow for all that this one sends.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count, islice

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.batch_limits import preferred_batch_size
from src.engine.model import StreamStep
from src.errors import QueueFull
from src.scheduling.length_index import LengthIndex
from src.scheduling.sorted_deque import Entry, SortedDeque


class Kind(Enum):
    """Where a job comes from; the value is its head start in seconds."""

    REALTIME = 2.0
    UPLOAD = 1.0
    CHUNK = 0.0


class Priority(Enum):
    """What the caller asks for; the value is added to the head start, in seconds. Kinds are further apart."""

    HIGH = 0.4
    NORMAL = 0.0
    LOW = -0.4


MAX_LATE_S = 0.4
"""Lateness of a step that counts, in seconds. So lateness orders steps; kinds are further apart."""

HELD_BACK_S = 1e6
"""What the rank of a step that is held back is later, in seconds: it comes after all that are not. The rank of an
upload that goes first is as much earlier."""

SIMILAR_LENGTH = 2.0
"""Clips share a batch if the longest is at most this many times the shortest: at most half of a batch is padding."""

SHORT_S = 2.0
"""Clips shorter than this, in seconds, count as equally long: the fixed cost of a pass outweighs their padding."""


@dataclass(eq=False, slots=True)
class Slot:
    """The right of one request to wait."""

    client: str | None = None
    """Whose request or step it is; None if there is no limit on high priority or on steps."""
    held: bool = True
    """Whether it is taken: until its job leaves the queue, or it is released."""
    queued: bool = False
    """Whether its job is in the queue."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Audio that is transcribed in one pass."""

    samples: Samples
    keywords: tuple[str, ...] = ()
    """Words and phrases to expect in it."""


@dataclass(eq=False, slots=True)
class Job:
    """A clip or a streaming step that waits for the model. Times are in seconds of the caller's clock."""

    work: Clip | StreamStep
    slot: Slot
    enqueued_at: float
    deadline: float = math.inf
    kind: Kind = Kind.UPLOAD
    priority: Priority = Priority.NORMAL
    late_s: float = 0.0
    """How long ago its audio was there when it was enqueued, in seconds; for steps."""
    is_held_back: bool = False
    """Whether the queue holds it back, as a client's other steps come first."""
    goes_first: bool = False
    """Whether it goes before all others, as it has waited for long while clips of sessions were taken."""

    @property
    def is_step(self) -> bool:
        """Whether it is a step, not a clip."""
        return isinstance(self.work, StreamStep)

    @property
    def rank(self) -> float:
        """Its key in the order; the lowest goes first."""
        head_start_s = self.kind.value + self.priority.value + min(max(self.late_s, 0.0), MAX_LATE_S)
        return self.enqueued_at - head_start_s + HELD_BACK_S * (self.is_held_back - self.goes_first)

    @property
    def length(self) -> int:
        """Length of its audio in samples, context included."""
        return len(self.work.samples)

    @property
    def audio_s(self) -> float:
        """Length of its audio in seconds, context included."""
        return self.length / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Popped:
    """What left the queue: a batch for the model, and the jobs whose deadline had passed."""

    batch: list[Job]
    expired: list[Job]


@dataclass(slots=True)
class _NextBatch:
    """The next batch: the first jobs in order that fit together, all of one type.

    Args:
        max_clips: most jobs in it.
        max_samples: largest padded size, which is the longest job times the number of jobs. A longer job goes alone.
    """

    max_clips: int
    max_samples: float
    entries: dict[Job, Entry[Job]] = field(default_factory=dict)
    shortest: int = 0
    longest: int = 0
    outgrown_by: Job | None = None
    """The first job of similar length that would have made it too large; None if there was none."""

    @property
    def is_full(self) -> bool:
        """Whether later jobs cannot make it larger, except for very short ones."""
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
    def similar(self) -> tuple[float, float]:
        """Lengths that are similar to all of its jobs: the shortest and the longest, in samples."""
        if not self.entries:
            return 0, math.inf
        short = SHORT_S * SAMPLE_RATE
        return (
            self.longest / SIMILAR_LENGTH if self.longest > SIMILAR_LENGTH * short else 0,
            SIMILAR_LENGTH * max(self.shortest, short),
        )

    @property
    def room(self) -> float:
        """The longest job that its padded size has room for, in samples; negative if there is none for any."""
        if not self.entries:
            return math.inf
        longest = self.max_samples / (len(self.entries) + 1)
        return longest if longest >= self.longest else -1

    def add(self, entry: Entry[Job]) -> None:
        """Add a job, in order."""
        length = entry[2].length
        is_last = not self.entries or self.last < entry
        self.shortest = min(self.shortest, length) if self.entries else length
        self.longest = max(self.longest, length)
        self.entries[entry[2]] = entry
        if not is_last:
            self.entries = {each[2]: each for each in sorted(self.entries.values())}

    def accepts(self, job: Job) -> bool:
        """Return whether a job may be added. A similar one that is only too large is noted in `outgrown_by`."""
        shortest, longest = self.similar
        if len(self.entries) == self.max_clips or not shortest <= job.length <= longest:
            return False
        if job.length > self.room:
            self.outgrown_by = self.outgrown_by or job
            return False
        return True


class JobQueue:
    """Jobs in the order of their rank, behind a fixed number of slots.

    The cost of an operation does not grow with the number of jobs: the next batch is kept ready, and the other jobs are
    indexed by length.

    Args:
        slots: requests that may wait at once.
        max_batch: most clips in a batch.
        max_batch_audio_s: largest padded size of a batch in seconds, its longest clip times its clips. A longer clip
            goes alone.
        max_audio_s: most decoded audio that may wait in memory, in seconds. One clip may always wait.
        preferred_sizes: sizes that the model runs best. A larger batch than the smallest of them is cut to one of them.
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
        self._half_batch = max(1, max_batch // 2)
        self._numbers = count()
        self._entries: OrderedDict[Job, Entry[Job]] = OrderedDict()
        """All jobs in the order in which they came. (A plain dict finds its first item slowly after many have left.)"""
        self._forming = self._new_batch()
        self._others: dict[type[Clip | StreamStep], LengthIndex[Job]] = {Clip: LengthIndex(), StreamStep: LengthIndex()}
        """All jobs that are not in `_forming`, by type."""
        self._by_deadline: SortedDeque[Job] = SortedDeque()
        self._high: Counter[str] = Counter()
        """Number of waiting jobs of each client that have high priority."""
        self._steps = 0
        self._is_gathering = False
        self._in_order: Counter[str] = Counter()
        """Number of steps of each client that are not held back."""
        self._held_back: dict[str, SortedDeque[Job]] = {}
        """Those that are, by client."""
        self._held = 0
        self._preparing = 0
        self._samples = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held(self) -> int:
        """Slots that are taken: by requests that are being prepared, and by those in the queue."""
        return self._held

    @property
    def preparing(self) -> int:
        """Requests that hold a slot and have not enqueued their clip yet."""
        return self._preparing

    @property
    def audio_s(self) -> float:
        """Seconds of decoded audio in the queue."""
        return self._samples / SAMPLE_RATE

    @property
    def oldest_at(self) -> float:
        """When the job that waits longest was enqueued; infinity if none waits."""
        return next(iter(self._entries)).enqueued_at if self._entries else math.inf

    @property
    def next_deadline(self) -> float:
        """The earliest deadline of a job; infinity if there is none."""
        first = self._by_deadline.first
        return first[0] if first else math.inf

    @property
    def has_batch(self) -> bool:
        """Whether there is a next batch; no if only steps wait, and they are being gathered."""
        self._form()
        return bool(self._forming.entries)

    @property
    def has_full_batch(self) -> bool:
        """Whether the next batch cannot grow by waiting."""
        self._form()
        return self._forming.is_full

    @property
    def has_batch_of_steps(self) -> bool:
        """Whether the next batch is one of steps."""
        return self.has_batch and self._forming.first[2].is_step

    def reserve(self, client: str | None = None) -> Slot:
        """Take a slot for a new request of `client`.

        Raises:
            QueueFull: all slots are taken.
        """
        if self._held >= self.slots:
            raise QueueFull(f"All {self.slots} slots of the queue are taken. Try again later.")
        self._held += 1
        self._preparing += 1
        return Slot(client)

    def release(self, slot: Slot) -> None:
        """Release the slot of a request that enqueues no job. Idempotent; a no-op once a job has been enqueued."""
        if slot.held and not slot.queued:
            self._free(slot)
            self._preparing -= 1

    def has_room(self, samples: int) -> bool:
        """Return whether a clip of `samples` samples may wait. If no other waits, any may."""
        return not self._entries or (self._samples + samples) / SAMPLE_RATE <= self._max_audio_s

    def push(self, job: Job) -> None:
        """Enqueue a job under the slot of its request. Further jobs of the same request need no slot.

        Raises:
            QueueFull: too much decoded audio is waiting. The caller keeps the slot.
        """
        if not self.has_room(job.length):
            raise QueueFull(f"More than {self._max_audio_s:g} s of audio is waiting already. Try again later.")
        if job.slot.held and not job.slot.queued:
            job.slot.queued = True
            self._preparing -= 1
        number = next(self._numbers)
        self._limit_client(job, number)
        self._samples += job.length
        self._steps += job.is_step
        if job.deadline < math.inf:
            self._by_deadline.add((job.deadline, number, job))
        self._entries[job] = entry = (job.rank, number, job)
        self._insert(entry)
        if self._steps >= self._max_batch:
            self.gather_steps(False)

    def gather_steps(self, is_gathering: bool) -> None:
        """Keep steps out of batches until there is a full batch of them, or the next call ends that."""
        is_gathering = is_gathering and self._steps < self._max_batch
        if is_gathering is not self._is_gathering:
            self._is_gathering = is_gathering
            self._unform()

    def drop(self, job: Job) -> bool:
        """Remove a job, and return whether it was still in the queue."""
        if job not in self._entries:
            return False
        self._remove(job)
        return True

    def pop_expired(self, now: float) -> list[Job]:
        """Remove and return the jobs whose deadline has passed."""
        expired = []
        while (first := self._by_deadline.first) and first[0] <= now:
            expired.append(first[2])
            self._remove(first[2])
        return expired

    def pop_batch(self, now: float) -> Popped:
        """Remove the jobs whose deadline has passed, then the next batch: the first job and similar ones."""
        expired = self.pop_expired(now)
        self._form()
        forming, self._forming = self._forming, self._new_batch()
        entries = list(forming.entries.values())
        whole = preferred_batch_size(len(entries), self._preferred_sizes)
        for entry in entries[whole:]:
            self._insert(entry)
        batch = [job for _, _, job in entries[:whole]]
        for job in reversed(batch):  # steps that are held back first: none of these takes the place of another
            self._forget(job)
        if batch and all(job.kind is Kind.REALTIME and not job.is_step for job in batch):
            self._let_uploads_go_first(now)
        return Popped(batch, expired)

    def _let_uploads_go_first(self, now: float) -> None:
        """Put up to half a batch of uploads before all other jobs, if they have waited for half of their time."""
        for deadline, number, job in [*islice(self._by_deadline.entries, self._half_batch)]:
            is_upload = not job.is_step and job.kind is not Kind.REALTIME
            if is_upload and not job.goes_first and now >= (job.enqueued_at + deadline) / 2:
                self._reorder(job, number, goes_first=True)

    def _reorder(self, job: Job, number: int, *, goes_first: bool = False) -> None:
        """Give a job that was overdue, or held back, its new place in the order."""
        if job in self._forming.entries or job is self._forming.outgrown_by:
            self._unform()
        self._others[type(job.work)].remove(self._entries[job])
        job.is_held_back, job.goes_first = False, goes_first
        self._entries[job] = entry = (job.rank, number, job)
        self._insert(entry)

    def _new_batch(self) -> _NextBatch:
        return _NextBatch(self._max_batch, self._max_batch_samples)

    def _form(self) -> None:
        """Form the next batch, unless that is done."""
        if self._forming.entries or not self._entries:
            return
        forming = self._forming
        types = (Clip,) if self._is_gathering else (Clip, StreamStep)
        others = min((self._others[each] for each in types), key=lambda each: each.first() or (math.inf,))
        while len(forming.entries) < self._max_batch:
            shortest, longest = forming.similar
            entry = others.first(shortest, min(longest, forming.room) if forming.outgrown_by else longest)
            if entry is None:
                break
            if forming.accepts(entry[2]):
                others.remove(entry)
                forming.add(entry)

    def _insert(self, entry: Entry[Job]) -> None:
        """Add a job to the next batch if that is formed and the job belongs to it, else to the others."""
        forming, job = self._forming, entry[2]
        if job.is_step and self._is_gathering:
            pass
        elif len(self._entries) == 1:  # it is alone
            forming.add(entry)
            return
        elif forming.entries and type(job.work) is type(forming.first[2].work):
            outgrown_by = forming.outgrown_by
            if outgrown_by and entry < self._entries[outgrown_by]:
                self._unform()
            elif forming.accepts(job):
                forming.add(entry)
                return
            elif entry < forming.last:
                self._unform()
        elif forming.entries and entry < forming.first:
            self._unform()
        self._others[type(job.work)].add(entry)

    def _unform(self) -> None:
        """Return the jobs of the next batch to the others, as it has to be formed anew."""
        previous, self._forming = self._forming, self._new_batch()
        for job, entry in previous.entries.items():
            self._others[type(job.work)].add(entry)

    def _remove(self, job: Job) -> None:
        if job in self._forming.entries or job is self._forming.outgrown_by:
            self._unform()
        self._others[type(job.work)].remove(self._entries[job])
        self._forget(job)

    def _forget(self, job: Job) -> None:
        """Release what a job held that is no longer in the next batch or among the others."""
        _, number, _ = self._entries.pop(job)
        if job.deadline < math.inf:
            self._by_deadline.remove((job.deadline, number, job))
        self._samples -= job.length
        self._steps -= job.is_step
        if job.slot.held:
            self._free(job.slot)
        self._release_client(job, number)

    def _limit_client(self, job: Job, number: int) -> None:
        """Take the high priority from a job if its client has enough of that, or hold back a step likewise."""
        client = job.slot.client
        if client is None:
            return
        if job.priority is Priority.HIGH:
            if self._high[client] >= self._half_batch:
                job.priority = Priority.NORMAL
            else:
                self._high[client] += 1
        if job.is_step:
            job.is_held_back = self._in_order[client] >= self._half_batch
            if job.is_held_back:
                self._held_back.setdefault(client, SortedDeque()).add((job.rank, number, job))
            else:
                self._in_order[client] += 1

    def _release_client(self, job: Job, number: int) -> None:
        """Undo what `_limit_client` has noted of a job. A step that was held back may get the place of one in order."""
        client = job.slot.client
        if client is None:
            return
        if job.priority is Priority.HIGH:
            _decrease(self._high, client)
        if job.is_held_back:
            self._remove_held_back(client, (job.rank, number, job))
        elif job.is_step:
            _decrease(self._in_order, client)
            if client in self._held_back and (first := self._held_back[client].first):
                self._put_in_order(client, first)

    def _put_in_order(self, client: str, entry: Entry[Job]) -> None:
        """Give a step that is held back its place in the order."""
        _, number, job = entry
        self._remove_held_back(client, entry)
        self._in_order[client] += 1
        self._reorder(job, number)

    def _remove_held_back(self, client: str, entry: Entry[Job]) -> None:
        self._held_back[client].remove(entry)
        if not self._held_back[client]:
            del self._held_back[client]

    def _free(self, slot: Slot) -> None:
        slot.held = slot.queued = False
        self._held -= 1


def _decrease(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
