"""The metrics log read into memory as columns of numbers, from its current file and all rotated ones.

Each byte is read once. Files are identified by their inode, so a file that rotation renames is not read again, and
`update` reads only what was appended. A million lines take about 60 MB.
"""

import errno
import os
import re
from array import array
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from src.metrics.parser import Failure, Parser, Row

Column = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_DTYPE = np.dtype([(name, np.float64) for name in Row._fields])

TAIL_BYTES = 64 * 1024
"""Read from the end of a rotated file to find its last line."""
DISORDER_S = 60.0
"""Lines are written as requests end, so their times are out of order by far less than this."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Finished requests as columns, named like the fields of `Row`: `requests["ts"]` is a float64 array (requests,)."""

    rows: npt.NDArray[np.void]
    failures: Sequence[Failure]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> Column:
        return self.rows[column]

    @property
    def ok(self) -> Mask:
        """Mask of the requests that succeeded."""
        return self["failure"] < 0

    def where(self, mask: Mask) -> "Requests":
        """Return the requests that `mask` selects."""
        return Requests(self.rows[mask], self.failures)

    def between(self, start: float, end: float) -> "Requests":
        """Return the requests that ended after `start` and not after `end` (Unix seconds)."""
        return self.where((self["ts"] > start) & (self["ts"] <= end))


class History:
    """The requests in the log at `path` and in its rotated parts, such as `metrics.log.2026-11-22`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests = Requests(np.empty(0, _DTYPE), [])
        self._parser = Parser()
        self._offsets: dict[tuple[int, int], int] = {}
        self._skipped = 0
        self._torn = 0

    @property
    def skipped_lines(self) -> int:
        """Number of lines that could not be parsed, including an incomplete last line."""
        return self._skipped + self._torn

    def update(self, since: float) -> None:
        """Read what was appended to the log, and keep the requests that ended after `since` (Unix seconds).

        Parts whose last line is well before `since` are not read.

        Raises:
            FileNotFoundError: there is no log yet.
            OSError: a part cannot be read.
        """
        rows = array("d")
        self._torn = 0
        with ExitStack() as stack:
            parts = _open_parts(self.path, stack)
            self._offsets = {key: offset for key, offset in self._offsets.items() if key in parts}
            for key, part in parts.items():
                self._offsets[key] = self._read(part, self._start(key, part, since), since, rows)
        new = np.frombuffer(rows, _DTYPE)
        kept = self.requests.rows[self.requests["ts"] > since]
        self.requests = Requests(np.concatenate((kept, new)), list(self._parser.failures))

    def _start(self, key: tuple[int, int], part: BinaryIO, since: float) -> int:
        """Return the offset in bytes from which to read `part`."""
        size = os.fstat(part.fileno()).st_size
        known = self._offsets.get(key)
        if known is not None:
            return known if known <= size else 0  # shorter than before: it was truncated
        if part.name != str(self.path) and self._ended_before(part, size, since):
            return size
        return 0

    def _ended_before(self, part: BinaryIO, size: int, since: float) -> bool:
        part.seek(max(0, size - TAIL_BYTES))
        lines = part.read().splitlines()
        last = self._parser.parse(lines[-1]) if lines else None
        return last is not None and last.ts < since - DISORDER_S

    def _read(self, part: BinaryIO, offset: int, since: float, rows: "array[float]") -> int:
        """Append the lines of `part` after `offset` to `rows`, and return the offset after the last complete line."""
        if part.seekable():  # a pipe can be read, too
            part.seek(offset)
        for line in part:
            row = self._parser.parse(line)
            if row is None and not line.endswith(b"\n"):
                self._torn += 1  # it may still be being written, so the next update reads it again
                break
            offset += len(line)
            if row is None:
                self._skipped += not line.isspace()
            elif row.ts > since:
                rows.extend(row)
        return offset


def _open_parts(path: Path, stack: ExitStack) -> dict[tuple[int, int], BinaryIO]:
    """Open the parts of the log, oldest first, keyed by device and inode.

    The current file is opened before the others are listed, so that it is read once even if the log rotates meanwhile.
    """
    parts = [part for part in [_open(path, stack)] if part]
    pattern = re.compile(re.escape(path.name) + r"\.\d{4}-\d{2}-\d{2}(\.\d+)?")
    with suppress(FileNotFoundError, NotADirectoryError):
        names = sorted(name for name in os.listdir(path.parent) if pattern.fullmatch(name))
        parts = [part for part in (_open(path.parent / name, stack) for name in names) if part] + parts
    if not parts:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.absolute()))
    return {(stat.st_dev, stat.st_ino): part for part in parts for stat in [os.fstat(part.fileno())]}


def _open(path: Path, stack: ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None
