"""The orderly ends of processes, in a file beside the metrics log: a quiet night before a restart was no outage.

They are not in the log itself, as each line of that stands for requests. A process that was killed has no end there.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from src.metrics.whole_file import write_whole

KEPT = 1000
"""Ends in the file; the oldest are removed."""


def ends_path(log: Path) -> Path:
    """Return the path of the file that goes with a metrics log."""
    return log.with_name("ends.jsonl")


def note_end(log: Path, started: float, ended: float) -> None:
    """Note that the process that started at `started` ran until `ended`, both in Unix seconds.

    Raises:
        OSError: the disk fails.
    """
    end = {"process_started": round(started, 6), "ended": round(ended, 6)}
    lines = [*_lines(log)[1 - KEPT :], json.dumps(end).encode()]
    write_whole(ends_path(log), b"".join(line + b"\n" for line in lines))


def read_ends(log: Path) -> Iterator[tuple[float, float]]:
    """Yield the start and the end of each process that ended in order, in Unix seconds.

    Lines of another form are skipped. A log may have come without the file; then there are none.
    """
    try:
        lines = _lines(log)
    except OSError:  # the log tells enough without it
        return
    for line in lines:
        try:
            entry = json.loads(line)
            started, ended = float(entry["process_started"]), float(entry["ended"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue
        if math.isfinite(ended) and started <= ended:
            yield started, ended


def _lines(log: Path) -> list[bytes]:
    try:
        return ends_path(log).read_bytes().splitlines()
    except FileNotFoundError:
        return []
