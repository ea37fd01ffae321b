"""A file of lines that is put aside each midnight UTC, and when it is large; old parts are removed.

Parts are named by the day on which they were begun: `metrics.log.2026-11-22`, then `metrics.log.2026-11-22.1`, and on.
Several processes may append to one file: a lock on the file itself decides which of them puts it aside.
"""

import fcntl
import logging
import os
import re
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

PART_BYTES = 64 << 20
"""A larger file is put aside. It may be larger by what is appended at once."""
KEPT_DAYS = 7

logger = logging.getLogger("src.metrics.log")


class RotatedPart(NamedTuple):
    """A file that was put aside. Parts sort from the oldest to the newest."""

    day: str
    """The day on which it was begun, in UTC, such as `2026-11-22`."""
    number: int
    """Its place among those of its day, from 0."""
    name: str
    """Its name in the folder."""


def parts_of(path: Path) -> list[RotatedPart]:
    """Return the parts of the file at `path` that were put aside, from the oldest to the newest.

    Raises:
        OSError: the folder cannot be read.
    """
    found = (_part(path.name, name) for name in os.listdir(path.parent))
    return sorted(RotatedPart(match[1], int(match[2] or 0), match[0]) for match in found if match)


def is_part_of(file: str, name: str) -> bool:
    """Return whether a file of this name is a part of the one called `file` that was put aside."""
    return _part(file, name) is not None


def _part(file: str, name: str) -> re.Match[str] | None:
    """Return the match of a part's name, with its day and its number."""
    return re.fullmatch(re.escape(file) + r"\.(\d{4}-\d{2}-\d{2})(?:\.(\d{1,9}))?", name)


class RotatedFile:
    """Appends lines to a file that is put aside when its day is over or when it is large.

    It copes with a file that was renamed, removed or torn, and raises the errors of the disk.

    Args:
        path: the file.
        max_bytes: what the file and its parts may take together; the oldest parts are removed.
        part_bytes: how large the file becomes before it is put aside.
    """

    def __init__(self, path: Path, max_bytes: int, part_bytes: int = PART_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._part_bytes = min(part_bytes, max_bytes // 2)
        self._descriptor: int | None = None
        self._day = ""

    def append(self, lines: bytes) -> int:
        """Append lines, and return the number of bytes written: on a disk that fills up, fewer than given.

        Raises:
            OSError: nothing was written.
        """
        self._follow_path()
        descriptor = self._opened()
        if self._is_complete(os.fstat(descriptor)):
            self._put_aside(descriptor)
            descriptor = self._opened()
        return os.write(descriptor, lines)

    def append_rest(self, rest: bytes) -> int:
        """Append what `append` has left of its lines, so that no line is torn over two files, and return the same.

        Raises:
            OSError: nothing was written.
        """
        return os.write(self._opened(), rest)

    def abandon(self) -> None:
        """Close the file. The next line opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def _follow_path(self) -> None:
        """Close a file that is no longer the one at the path: it was removed, or another process has put it aside."""
        held = None if self._descriptor is None else os.fstat(self._descriptor)
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            if held and not held.st_nlink:  # else it was put aside, and the next one is about to be made
                logger.warning("%s was removed; a new one is begun", self._path)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.abandon()
            return
        if held and not os.path.samestat(found, held):
            self.abandon()

    def _opened(self) -> int:
        if self._descriptor is None:
            # A pipe that was opened to be read, too, would not wait for a reader.
            access = os.O_RDWR if self._path.is_file() else os.O_WRONLY
            self._descriptor = os.open(self._path, access | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            status = os.fstat(self._descriptor)
            self._day = _day_of(status.st_mtime if status.st_size else time.time())
            if access == os.O_RDWR:
                _end_torn_line(self._descriptor, status.st_size)
        return self._descriptor

    def _is_complete(self, status: os.stat_result) -> bool:
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        return status.st_size >= self._part_bytes or self._day < _day_of(time.time())

    def _put_aside(self, descriptor: int) -> None:
        """Put the file aside, unless another process does so or has just done so."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # these lines still go to the file as it is
            return
        except OSError:  # a file system without locks
            logger.debug("%s cannot be locked", self._path)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(descriptor)):
                self._path.rename(self._path.with_name(self._next_name()))
                self._remove_old()
        self.abandon()  # and so unlock it

    def _next_name(self) -> str:
        """Return a name that is newer than those of all parts of the day."""
        name = f"{self._path.name}.{self._day}"
        numbers = [part.number for part in parts_of(self._path) if part.day == self._day]
        return f"{name}.{max(numbers) + 1}" if numbers else name

    def _remove_old(self) -> None:
        """Remove the parts of all but the last `KEPT_DAYS` days, and the oldest beyond `max_bytes`."""
        parts = parts_of(self._path)
        days = sorted({part.day for part in parts})[-KEPT_DAYS:]
        room = self._max_bytes - self._part_bytes
        failed: OSError | None = None
        for part in reversed(parts):
            path = self._path.with_name(part.name)
            try:
                room -= path.stat().st_size
                if room < 0 or part.day not in days:
                    path.unlink()
            except FileNotFoundError:  # another process has removed it
                pass
            except OSError as error:
                failed = error
        if failed:
            logger.warning("an old part cannot be removed: %s", failed)


def _day_of(seconds: float) -> str:
    """Return the day of a time in Unix seconds, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _end_torn_line(descriptor: int, size_bytes: int) -> None:
    """Add a line break after an incomplete last line, which a crash or a full disk has left."""
    if size_bytes and os.pread(descriptor, 1, size_bytes - 1) != b"\n":
        os.write(descriptor, b"\n")
