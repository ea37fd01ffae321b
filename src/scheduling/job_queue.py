"""The queue: which requests may wait, in which order, and which share a batch. No clock, no event loop, no I/O.

A request first reserves a `Slot`, before its body is read. Its clip then joins the queue as a `Job` under that slot.
The slot is free again when the job leaves the queue, for a batch or for good. So slots limit how many requests wait,
whether they are being uploaded, decoded or queued. A step of a live stream takes its slot and joins the queue at once.
A batch has either clips or steps.

Where sessions commit more than the model can take, their clips alone would fill it for longer than an upload may wait.
So after a batch of them, up to half a batch of uploads that have waited for half of their time go first.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice

from src.audio.samples import SAMPLE_RATE
from src.engine.batch_limits import preferred_batch_size
from src.engine.model import StreamStep
from src.errors import QueueFull
from src.scheduling.client_shares import ClientShares
from src.scheduling.jobs import Clip, Job, Kind, Slot
from src.scheduling.length_index import LengthIndex
from src.scheduling.next_batch import NextBatch
from src.scheduling.sorted_deque import Entry, SortedDeque


@dataclass(frozen=True, slots=True)
class Popped:
    """What left the queue: a batch for the model, and the jobs whose deadline had passed."""

    batch: list[Job]
    expired: list[Job]


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
        self._shares = ClientShares(self._half_batch)
        self._numbers = count()
        self._entries: OrderedDict[Job, Entry[Job]] = OrderedDict()
        """All jobs in the order in which they came. (A plain dict finds its first item slowly after many have left.)"""
        self._forming = self._new_batch()
        self._others: dict[type[Clip | StreamStep], LengthIndex[Job]] = {Clip: LengthIndex(), StreamStep: LengthIndex()}
        """All jobs that are not in `_forming`, by type."""
        self._by_deadline: SortedDeque[Job] = SortedDeque()
        self._steps = 0
        self._is_gathering = False
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

    @property
    def has_slot(self) -> bool:
        """Whether a slot is free."""
        return self._held < self.slots

    def reserve(self, client: str | None = None) -> Slot:
        """Take a slot for a new request of `client`.

        Raises:
            QueueFull: all slots are taken.
        """
        if not self.has_slot:
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
        self._shares.add(job, number)
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

    def _new_batch(self) -> NextBatch:
        return NextBatch(self._max_batch, self._max_batch_samples)

    def _form(self) -> None:
        """Form the next batch, unless that is done."""
        if self._forming.entries or not self._entries:
            return
        if self._is_gathering and self._steps == len(self._entries):
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
        in_order = self._shares.remove(job, number)
        if in_order:
            self._reorder(in_order[2], in_order[1])

    def _reorder(self, job: Job, number: int, *, goes_first: bool = False) -> None:
        """Give a job that was overdue, or held back, its new place in the order."""
        if job in self._forming.entries or job is self._forming.outgrown_by:
            self._unform()
        self._others[type(job.work)].remove(self._entries[job])
        job.is_held_back, job.goes_first = False, goes_first
        self._entries[job] = entry = (job.rank, number, job)
        self._insert(entry)

    def _free(self, slot: Slot) -> None:
        slot.held = slot.queued = False
        self._held -= 1
