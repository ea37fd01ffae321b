"""Find and kill child processes, by /proc."""

import os
import signal
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the process IDs of the living children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has just exited
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return sorted(found)


def decode_parents(pid: int | None = None) -> list[int]:
    """Return the children of `pid`, by default this process, that fork decode workers."""
    return [child for child in children(pid or os.getpid()) if "src.audio.worker" in _command(child)]


def decode_workers(pid: int | None = None) -> list[int]:
    """Return the decode workers of `pid`, by default this process."""
    return [worker for parent in decode_parents(pid) for worker in children(parent)]


def kill(pids: list[int]) -> None:
    """Kill processes with SIGKILL."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
