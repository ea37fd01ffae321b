"""The files that a metrics log consists of, and reading lines from them that may still be being written.

`metrics.log` is the current file. Beside it are rotated ones, such as `metrics.log.2026-11-22`, and further ones of the
same day: `metrics.log.2026-11-22.1`, `.2` and so on.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from src.metrics.parser import Parser, Row
from src.metrics.rotated_file import parts_of

TAIL_BYTES = 64 * 1024
"""Read from the end of a rotated file to find its last line."""
DISORDER_S = 60.0
"""Lines are written as requests end, so their times are out of order by far less than this."""


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


def open_parts(path: Path, stack: ExitStack) -> dict[tuple[int, int], BinaryIO]:
    """Open the files of the log at `path`, oldest first, keyed by device and inode. `stack` closes them.

    The current file is opened before the others are listed, so that it is read once even if the log rotates meanwhile.

    Raises:
        FileNotFoundError: there is no log yet.
        OSError: a file cannot be opened.
    """
    parts = [part for part in [_open(path, stack)] if part]
    rotated = (_open(path.parent / name, stack) for name in _rotated_names(path))
    parts = [part for part in rotated if part] + parts
    if not parts:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.absolute()))
    return {(stat.st_dev, stat.st_ino): part for part in parts for stat in [os.fstat(part.fileno())]}


def ended_before(part: BinaryIO, since: float, parser: Parser) -> bool:
    """Whether the last line of a rotated file is well before `since` (Unix seconds), so that it need not be read."""
    part.seek(max(0, os.fstat(part.fileno()).st_size - TAIL_BYTES))
    lines = part.read().splitlines()
    last = parser.parse(lines[-1]) if lines else None
    return last is not None and last.ts < since - DISORDER_S


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
