"""What each client may have in the order before the jobs of others: half a batch, of high priority and of steps.

A client gets high priority for at most so many waiting jobs at a time, and normal priority for the rest. Otherwise high
would mean nothing as soon as one client asks for nothing else.

Likewise, at most so many of a client's steps have their place in the order at a time. The rest are held back: they fill
batches that have room, behind all other jobs, and each gets its place when one of those before it has left. So the step
of another client waits for half a batch of them, even if the model is much too slow for all that this one sends.
"""

from collections import Counter

from src.scheduling.jobs import Job, Priority
from src.scheduling.sorted_deque import Entry, SortedDeque


class ClientShares:
    """The waiting jobs of each client that count for its share. Jobs without a client have no limit.

    Args:
        most: jobs of high priority, and steps in order, that a client may have at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._high: Counter[str] = Counter()
        """Number of waiting jobs of each client that have high priority."""
        self._in_order: Counter[str] = Counter()
        """Number of steps of each client that are not held back."""
        self._held_back: dict[str, SortedDeque[Job]] = {}
        """Those that are, by client."""

    def add(self, job: Job, number: int) -> None:
        """Add a job that joins the queue under this number. Take its high priority if its client has enough of that,
        or hold it back likewise if it is a step."""
        client = job.slot.client
        if client is None:
            return
        if job.priority is Priority.HIGH:
            if self._high[client] >= self._most:
                job.priority = Priority.NORMAL
            else:
                self._high[client] += 1
        if job.is_step:
            job.is_held_back = self._in_order[client] >= self._most
            if job.is_held_back:
                self._held_back.setdefault(client, SortedDeque()).add((job.rank, number, job))
            else:
                self._in_order[client] += 1

    def remove(self, job: Job, number: int) -> Entry[Job] | None:
        """Remove a job that has left the queue.

        Return the entry of a step that was held back and gets the place of this one in the order: the caller makes its
        `is_held_back` false. None if there is none.
        """
        client = job.slot.client
        if client is None:
            return None
        if job.priority is Priority.HIGH:
            _decrease(self._high, client)
        if job.is_held_back:
            self._remove_held_back(client, (job.rank, number, job))
        elif job.is_step:
            _decrease(self._in_order, client)
            return self._next_in_order(client)
        return None

    def _next_in_order(self, client: str) -> Entry[Job] | None:
        held_back = self._held_back.get(client)
        first = held_back.first if held_back else None
        if first:
            self._remove_held_back(client, first)
            self._in_order[client] += 1
        return first

    def _remove_held_back(self, client: str, entry: Entry[Job]) -> None:
        self._held_back[client].remove(entry)
        if not self._held_back[client]:
            del self._held_back[client]


def _decrease(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
