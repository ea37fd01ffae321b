"""When the service ran, as far as its logs can tell: each line names the start of the process that wrote it.

A process that ended in order has also left its end, and one that runs renews a file beside its log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from src.metrics.tally import Rows


class Process(NamedTuple):
    """A process that wrote to a log. Processes sort by their start."""

    started: float
    """When it started, in Unix seconds."""
    replica: str = ""
    """Name of the replica that it is, if it has one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a sign of any replica: from a process's end, or its last line, to the start of the next."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Uptime:
    """Processes that wrote to the logs: the last sign of each, in Unix seconds."""

    processes: dict[Process, float] = field(default_factory=dict)

    def add(self, rows: Rows, replicas: Sequence[str]) -> None:
        """Add lines. Those that do not name their process, or one that began after them, tell nothing.

        Args:
            rows: the lines.
            replicas: the names of the replicas that they give by number.
        """
        known = rows[rows["process_started"] <= rows["ts"]]
        for number in np.unique(known["replica"]):
            of_replica = known[known["replica"] == number]
            for started in np.unique(of_replica["process_started"]):
                last = float(of_replica["ts"][of_replica["process_started"] == started].max())
                self.add_sign(Process(float(started), replicas[int(number)]), last)

    def add_sign(self, process: Process, ts: float) -> None:
        """Add a sign of a process, such as its orderly end, at `ts` (Unix seconds)."""
        self.processes[process] = max(ts, self.processes.get(process, ts))

    @property
    def restarts(self) -> list[Process]:
        """The processes that started after the first, oldest first."""
        return sorted(self.processes)[1:]

    @property
    def gaps(self) -> list[Gap]:
        """The times without a sign of any replica, oldest first."""
        return _gaps(self.processes)


def _gaps(processes: Mapping[Process, float]) -> list[Gap]:
    found: list[Gap] = []
    reached: float | None = None
    for process, last in sorted(processes.items()):
        if reached is not None and process.started > reached:
            found.append(Gap(reached, process.started))
        reached = last if reached is None else max(reached, last)
    return found
