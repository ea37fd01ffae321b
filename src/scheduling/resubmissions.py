"""How soon the callers of a batch come again, and so whether the next one waits for them. No clock: times are given.

They often ask again at once, and find that those who waited have just gone. Two such groups, each in batches of its
own, then take turns for ever: with four callers in each, a batch took 98 ms and so a request 196 ms, where one of eight
takes 148 ms (the bundled model, two cores).
"""

import math
from collections import deque

PATIENCE = 0.05
"""How long the callers of a batch are waited for at most, as a share of the time that it took."""
REMEMBERED = 4
"""Batches by which is judged how soon callers come again; of groups that take turns, one may be slower than another."""


class Resubmissions:
    """The callers of the batch before, on their way back."""

    def __init__(self) -> None:
        self._joined = 0  # jobs so far
        self._joined_before = 0  # the batch before ended
        self._expected = 0  # so many once its callers are back
        self._ended_at = -math.inf
        self._first_s: deque[float] = deque([math.inf], maxlen=REMEMBERED)  # when the first of each batch was back

    @property
    def all_back(self) -> bool:
        """Whether as many jobs have joined the queue as were in the batch before, since that has ended."""
        return self._joined >= self._expected

    def join(self, now: float) -> None:
        """Note that a job has joined the queue."""
        self._joined += 1
        if self._joined == self._joined_before + 1:
            self._first_s[-1] = now - self._ended_at

    def end(self, jobs: int, now: float) -> None:
        """Note that a batch of so many jobs has ended."""
        self._joined_before, self._expected = self._joined, self._joined + jobs
        self._first_s.append(math.inf)
        self._ended_at = now

    def patience_s(self, took_s: float) -> float:
        """Return how long to wait for the callers of a batch that took so long: not at all where none was back by then.

        It is the first of each batch who counts: the others come more slowly where the model has gone on meanwhile.
        """
        patience_s = PATIENCE * took_s
        return patience_s if min(self._first_s) <= patience_s else 0.0
