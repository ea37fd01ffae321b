"""Whether the next batch waits for the callers of the batch before. No clock: times are given by the caller.

Clients often send their next request as soon as they have an answer, and then find that those who waited have just
gone into a batch. Two such groups of clients, each in batches of its own, would take turns forever: with four clients
in each, a batch took 98 ms and so a request 196 ms, while a request in a batch of eight takes 148 ms (bundled model,
two cores).
"""

import math
from collections import deque

PATIENCE = 0.05
"""Longest wait for the callers of a batch, as a share of the time that the batch took."""
REMEMBERED = 4
"""Number of past batches that tell how soon callers come back. Of groups that take turns, one may be slower."""


class Resubmissions:
    """Tracks the callers of the last batch until they have sent their next request."""

    def __init__(self) -> None:
        self._joined = 0  # jobs queued so far
        self._joined_before = 0  # the same when the last batch ended
        self._expected = 0  # the same once its callers are back
        self._ended_at = -math.inf
        self._first_s: deque[float] = deque([math.inf], maxlen=REMEMBERED)  # when its first caller was back

    @property
    def all_back(self) -> bool:
        """Whether as many jobs have been queued since the last batch ended as it had."""
        return self._joined >= self._expected

    def job_queued(self, now: float) -> None:
        """Note that a job has been queued."""
        self._joined += 1
        if self._joined == self._joined_before + 1:
            self._first_s[-1] = now - self._ended_at

    def batch_ended(self, jobs: int, now: float) -> None:
        """Note that a batch of `jobs` jobs has ended."""
        self._joined_before, self._expected = self._joined, self._joined + jobs
        self._first_s.append(math.inf)
        self._ended_at = now

    def wait_s(self, took_s: float) -> float:
        """Return how long to wait for the callers of a batch that took `took_s`: 0 if none used to be back by then.

        The first caller of each batch counts. The others come back later if the model is busy again by then.
        """
        patience_s = PATIENCE * took_s
        return patience_s if min(self._first_s) <= patience_s else 0.0
