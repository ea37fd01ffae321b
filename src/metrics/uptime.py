"""When the service ran, as far as its log can tell: each line names the start of the process that wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from src.metrics.tally import Rows


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a sign of the service: from a process's last line to the start of the next process."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Uptime:
    """Processes that wrote to the log: the end of the last request of each, by its start; in Unix seconds."""

    processes: dict[float, float] = field(default_factory=dict)

    def add(self, rows: Rows) -> None:
        """Add lines. Those that do not name their process, or one that began after them, tell nothing."""
        known = rows[rows["process_started"] <= rows["ts"]]
        for started in np.unique(known["process_started"]):
            last = float(known["ts"][known["process_started"] == started].max())
            self.processes[float(started)] = max(last, self.processes.get(float(started), last))

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
