"""When the service ran, as far as its log can tell: each line names the start of the process that wrote it.

A process that ended in order has also left its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from src.metrics.tally import Rows


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a sign of the service: from a process's end, or its last line, to the start of the next."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Uptime:
    """Processes that wrote to the log: the last sign of each, by its start; in Unix seconds."""

    processes: dict[float, float] = field(default_factory=dict)

    def add(self, rows: Rows) -> None:
        """Add lines. Those that do not name their process, or one that began after them, tell nothing."""
        known = rows[rows["process_started"] <= rows["ts"]]
        for started in np.unique(known["process_started"]):
            last = float(known["ts"][known["process_started"] == started].max())
            self.add_sign(float(started), last)

    def add_sign(self, started: float, ts: float) -> None:
        """Add a sign of the process that started at `started`, such as its orderly end; both in Unix seconds."""
        self.processes[started] = max(ts, self.processes.get(started, ts))

    @property
    def restarts(self) -> list[float]:
        """When a process started after the first, oldest first."""
        return sorted(self.processes)[1:]

    @property
    def gaps(self) -> list[Gap]:
        """The times without a sign of the service, oldest first."""
        return _gaps(self.processes)


def _gaps(processes: Mapping[float, float]) -> list[Gap]:
    found: list[Gap] = []
    reached: float | None = None
    for started, last in sorted(processes.items()):
        if reached is not None and started > reached:
            found.append(Gap(reached, started))
        reached = last if reached is None else max(reached, last)
    return found
