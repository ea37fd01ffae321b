"""How busy a process is now, and the small file beside the metrics log by which each process tells others.

The log has a line for each request that ends: it does not tell that sessions have ended without one, or that requests
wait while none ends. A process that ends in order removes its file, and a reader ignores one that is not renewed.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

RENEWED_S = 5.0
"""How often a process renews its file, in seconds."""
FRESH_S = 30.0
"""How old a file may be that tells the load of now, in seconds."""
KEPT_S = 86400.0
"""Files of processes that were killed are removed after so long, in seconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """The load of one process at a moment."""

    queued_audio_s: float
    """Seconds of decoded audio that wait for the model."""
    running_audio_s: float
    """Seconds of audio in the batches that have left the queue and not ended."""
    uploads: int
    """Requests in progress, from their admission to their end; work of sessions is not counted."""
    sessions: int
    """Realtime sessions that are open."""
    max_sessions: int
    """How many may be open at a time."""
    batch_size: float
    """Mean number of clips or steps in the batches that ended in the last seconds; 0 if none did."""
    audio_s_per_s: float
    """Seconds of audio that the model took for each second that it ran, in the last seconds in which it ran; 0 before
    its first batch."""
    ready: bool
    """Whether requests are admitted."""


@dataclass(frozen=True, slots=True)
class ProcessLoad:
    """The load of a process at a moment, in Unix seconds."""

    ts: float
    process_started: float
    replica: str
    """Its name; empty where there are no others."""
    load: Load

    def is_fresh(self, now: float) -> bool:
        """Return whether this is the load at `now` (Unix seconds)."""
        return abs(now - self.ts) <= FRESH_S


class LoadFile:
    """The file of this process.

    Args:
        log: the metrics log that this process writes.
        process_started: when this process started, in Unix seconds.
        replica: name of this replica of the service; None where there are no others.
    """

    def __init__(self, log: Path, process_started: float, replica: str | None = None) -> None:
        self._path = log.with_name(f"load.{quote(replica, safe='') if replica else os.getpid()}.json")
        self._process_started = process_started
        self._replica = replica

    def write(self, load: Load, now: float) -> None:
        """Replace the file by the load at `now` (Unix seconds). It is not brought to the disk: a crash ends its use.

        Raises:
            OSError: the disk fails.
        """
        who = {"replica": self._replica} if self._replica else {}
        entry = {"ts": now, "process_started": self._process_started, **who, **asdict(load)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(json.dumps(entry) + "\n")
            beside.replace(self._path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Remove the file, if it is there.

        Raises:
            OSError: the disk fails.
        """
        self._path.unlink(missing_ok=True)

    def remove_old(self, now: float) -> None:
        """Remove the files of processes that were killed long before `now` (Unix seconds).

        Raises:
            OSError: the disk fails.
        """
        for path in _paths(self._path.parent):
            if path.stat().st_mtime < now - KEPT_S:
                path.unlink()


def read_loads(log: Path) -> Iterator[ProcessLoad]:
    """Yield what each file beside the metrics log tells. Files of another form are skipped."""
    for path in _paths(log.parent):
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            yield _parsed(json.loads(path.read_bytes()))


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("load.*.json"))


def _parsed(entry: dict[str, Any]) -> ProcessLoad:
    """Return what an entry says.

    Raises:
        ValueError, TypeError, KeyError: it is of another form.
    """
    kinds = {"ready": bool, "uploads": int, "sessions": int, "max_sessions": int}
    values = {field.name: kinds.get(field.name, float)(entry[field.name]) for field in fields(Load)}
    replica = entry.get("replica", "")
    if not isinstance(replica, str):
        raise TypeError
    return ProcessLoad(float(entry["ts"]), float(entry["process_started"]), replica, Load(**values))
