"""The resources of a process and its descendants, by /proc."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from own_service import resident_mb


@dataclass(frozen=True)
class Reading:
    """The resources of a process, and of its descendants together, at one time (`time.monotonic`)."""

    at_s: float
    pid: int
    rss_mb: float
    children_rss_mb: float
    descriptors: int
    threads: int
    children: int


def read(pid: int) -> Reading | None:
    """Return the current resources of a process, None if it has ended."""
    try:
        below = list(_descendants(pid))
        return Reading(
            at_s=time.monotonic(),
            pid=pid,
            rss_mb=resident_mb(pid),
            children_rss_mb=sum(map(_resident_mb, below)),
            descriptors=_count(Path(f"/proc/{pid}/fd")),
            threads=_count(Path(f"/proc/{pid}/task")),
            children=len(below),
        )
    except (OSError, StopIteration):  # it has just ended; a zombie has no memory figures
        return None


def children(pid: int) -> list[int]:
    """Return the children of a process; none if it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    return [int(child) for task in tasks for child in _text(task / "children").split()]


def _descendants(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from _descendants(child)


def _resident_mb(pid: int) -> float:
    try:
        return resident_mb(pid)
    except (OSError, StopIteration):
        return 0.0


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
