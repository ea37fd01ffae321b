"""How many realtime sessions were open in all replicas together: each line tells those of its own replica."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from src.metrics.process_ends import ProcessEnd
from src.metrics.tally import Rows

FORGOTTEN_S = 900.0
"""A replica that has written no line for so long, in seconds, has no session open: an idle one is closed sooner."""


class _Count(NamedTuple):
    """What the last line of a replica says."""

    sessions: float
    until: float
    """From when on it counts no longer, in Unix seconds."""


class SessionTotals:
    """Adds up the sessions of all replicas at the time of each line. Lines are given in order of time.

    While only one replica has written, totals are what the lines say.

    Args:
        ends: the processes that ended in order; with a process, its sessions end.
    """

    def __init__(self, ends: Iterable[ProcessEnd]) -> None:
        self._ends = {end.started: end.ended for end in ends}
        self._counts: dict[int, _Count] = {}  # by the number of the replica
        self._total = 0.0
        self._first_until = math.inf  # no count ends before

    def apply(self, rows: Rows) -> Rows:
        """Return the lines with the total in place of each number of sessions."""
        known = np.flatnonzero(~np.isnan(rows["sessions"]))
        replicas = self._counts.keys() | set(np.unique(rows["replica"][known]).astype(int).tolist())
        if len(replicas) == 1:
            self._add(rows, known[-1:])
            return rows
        totals = rows.copy()
        totals["sessions"][known] = self._add(rows, known)
        return totals

    def _add(self, rows: Rows, indices: npt.NDArray[np.intp]) -> list[float]:
        """Take in the lines at `indices`, and return the total at the time of each."""
        return [self._add_line(*line) for line in rows[_FIELDS][indices].tolist()]

    def _add_line(self, ts: float, sessions: float, process_started: float, replica: float) -> float:
        ended = self._ends.get(process_started, math.inf)
        until = min(ts + FORGOTTEN_S, ended if ended > ts else math.inf)
        before = self._counts.get(int(replica))
        self._counts[int(replica)] = _Count(sessions, until)
        self._total += sessions - (before.sessions if before else 0.0)
        self._first_until = min(self._first_until, until)
        if ts >= self._first_until:
            self._forget(ts)
        return self._total

    def _forget(self, ts: float) -> None:
        """Forget the replicas that no longer count at `ts`."""
        self._counts = {replica: count for replica, count in self._counts.items() if count.until > ts}
        self._total = sum(count.sessions for count in self._counts.values())
        self._first_until = min(count.until for count in self._counts.values())


_FIELDS = ["ts", "sessions", "process_started", "replica"]
"""The fields of a row that tell of sessions."""
