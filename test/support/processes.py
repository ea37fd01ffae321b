"""The processes below one, by /proc, for tests that do something to them."""

import os
import signal
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the living children of a process, by number."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return sorted(found)


def decode_parents(pid: int | None = None) -> list[int]:
    """Return the processes below `pid`, this one if left out, that fork decode workers."""
    return [child for child in children(pid or os.getpid()) if "src.audio.worker" in _command(child)]


def decode_workers(pid: int | None = None) -> list[int]:
    """Return the decode workers below `pid`, this one if left out."""
    return [worker for parent in decode_parents(pid) for worker in children(parent)]


def kill(pids: list[int]) -> None:
    """Do to processes what no process can prevent."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
