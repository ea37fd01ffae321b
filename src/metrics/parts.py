"""The files that a metrics log consists of, and reading lines from them that may still be being written.

`metrics.log` is the current file. Beside it are rotated ones, such as `metrics.log.2026-11-22`, and further ones of the
same day: `metrics.log.2026-11-22.1`, `.2` and so on.
"""

import errno
import heapq
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from src.metrics.parser import Parser, Row
from src.metrics.rotated_file import parts_of

TAIL_BYTES = 64 * 1024
"""Read from the end of a rotated file to find its last line."""
DISORDER_S = 60.0
"""Lines are written as requests end, so their times are out of order by far less than this."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """A file of a log."""

    path: Path
    key: tuple[int, int]
    """Its device and inode, which it keeps when rotation renames it."""
    current: BinaryIO | None
    """The open file, if it is the log's current one; a rotated one is opened to be read."""

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file for the block. One that was removed meanwhile, as the oldest are, is empty.

        Raises:
            OSError: it cannot be opened.
        """
        if self.current:
            yield self.current
            return
        with _open_or_nothing(self.path) as file:
            yield file


class PartReader:
    """Iterates over the rows of an open file of the log, each once.

    Args:
        part: the file.
        offset: where to begin, in bytes.
        parser: parses its lines.

    Attributes:
        offset: end of the last complete line that was read.
        skipped: number of complete lines that could not be parsed.
        torn: whether the file ends in an incomplete line. It may still be being written.
    """

    def __init__(self, part: BinaryIO, offset: int, parser: Parser) -> None:
        self._part = part
        self._parser = parser
        self.offset = offset
        self.skipped = 0
        self.torn = False

    def __iter__(self) -> Iterator[Row]:
        if self._part.seekable():  # a pipe can be read, too
            self._part.seek(self.offset)
        for line in self._part:
            row = self._parser.parse(line)
            if row is None and not line.endswith(b"\n"):
                self.torn = True
                return
            self.offset += len(line)
            if row is None:
                self.skipped += not line.isspace()
            else:
                yield row


def find_parts(logs: Sequence[Path], stack: ExitStack) -> list[list[LogPart]]:
    """Return the files of each log, oldest first. A file that belongs to two of them is returned once.

    The current files are opened, and `stack` closes them. Each is opened before the rotated ones are listed, so that it
    is read once even if the log rotates meanwhile.

    Raises:
        FileNotFoundError: one of the logs does not exist yet.
        OSError: a current file cannot be opened.
    """
    known: set[tuple[int, int]] = set()
    found: list[list[LogPart]] = []
    for log in logs:
        parts = [part for part in _parts_of_log(log, stack) if part.key not in known]
        known.update(part.key for part in parts)
        found.append(parts)
    return found


def in_order(logs: Sequence[Iterator[Row]]) -> Iterator[Row]:
    """Yield the rows of several logs, each in order of time, as one log in order of time."""
    return logs[0] if len(logs) == 1 else heapq.merge(*logs, key=attrgetter("ts"))


def ended_before(part: BinaryIO, since: float, parser: Parser) -> bool:
    """Whether the last line of a rotated file is well before `since` (Unix seconds), so that it need not be read."""
    part.seek(max(0, os.fstat(part.fileno()).st_size - TAIL_BYTES))
    lines = part.read().splitlines()
    last = parser.parse(lines[-1]) if lines else None
    return last is not None and last.ts < since - DISORDER_S


def _parts_of_log(log: Path, stack: ExitStack) -> list[LogPart]:
    current = _open(log, stack)
    parts = {part.key: part for name in _rotated_names(log) if (part := _rotated(log.parent / name))}
    if current:
        status = os.fstat(current.fileno())
        key = status.st_dev, status.st_ino
        parts.pop(key, None)  # it was rotated just now
        parts[key] = LogPart(log, key, current)
    if not parts:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(log.absolute()))
    return list(parts.values())


def _open_or_nothing(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return Path(os.devnull).open("rb")


def _rotated(path: Path) -> LogPart | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return LogPart(path, (status.st_dev, status.st_ino), None)


def _rotated_names(path: Path) -> list[str]:
    """Return the names of the rotated files, oldest first: by date, then by number."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return [part.name for part in parts_of(path)]
    return []


def _open(path: Path, stack: ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None
