"""The orderly ends of processes, in a file beside the metrics log: a quiet night before a restart was no outage.

They are not in the log itself, as each line of that stands for requests. A process that was killed has no end there.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from src.metrics.whole_file import write_whole

KEPT = 1000
"""Ends in the file; the oldest are removed."""


class ProcessEnd(NamedTuple):
    """The orderly end of a process."""

    started: float
    """When it started, in Unix seconds."""
    ended: float
    """Until when it ran, in Unix seconds."""
    replica: str = ""
    """Name of the replica that it was, if it had one."""


def ends_path(log: Path) -> Path:
    """Return the path of the file that goes with a metrics log."""
    return log.with_name("ends.jsonl")


def note_end(log: Path, started: float, ended: float, replica: str | None = None) -> None:
    """Note that the process that started at `started` ran until `ended`, both in Unix seconds.

    Args:
        log: the metrics log that it wrote.
        started: when it started.
        ended: when it ended.
        replica: name of the replica that it was; None where there are no others.

    Raises:
        OSError: the disk fails.
    """
    end: dict[str, Any] = {"process_started": round(started, 6), "ended": round(ended, 6)}
    if replica:
        end["replica"] = replica
    lines = [*_lines(log)[1 - KEPT :], json.dumps(end).encode()]
    write_whole(ends_path(log), b"".join(line + b"\n" for line in lines))


def read_ends(log: Path) -> Iterator[ProcessEnd]:
    """Yield the end of each process that ended in order.

    Lines of another form are skipped. A log may have come without the file; then there are none.
    """
    try:
        lines = _lines(log)
    except OSError:  # the log tells enough without it
        return
    for line in lines:
        try:
            entry = json.loads(line)
            started, ended, replica = float(entry["process_started"]), float(entry["ended"]), entry.get("replica")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            continue
        if math.isfinite(ended) and started <= ended:
            yield ProcessEnd(started, ended, replica if isinstance(replica, str) else "")


def _lines(log: Path) -> list[bytes]:
    try:
        return ends_path(log).read_bytes().splitlines()
    except FileNotFoundError:
        return []
