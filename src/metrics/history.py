"""The metrics logs read into memory as columns of numbers, from their current files and all rotated ones.

Each byte is read once. Files are identified by their inode, so a file that rotation renames is not read again, and
`update` reads only what was appended. A million lines take about 65 MB.
"""

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from src.metrics.log_set import LogSet
from src.metrics.parser import Failure, Parser, Row
from src.metrics.parts import LogPart, PartReader, ended_before, find_parts, in_order

Column = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_KEPT = Row._fields.index("requests") + 1
"""Number of fields of a row that the report needs: the first."""
_DTYPE = np.dtype([(name, np.float64) for name in Row._fields[:_KEPT]])


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Lines as columns, named like the first fields of `Row`: `requests["ts"]` is a float64 array (lines,)."""

    rows: npt.NDArray[np.void]
    failures: Sequence[Failure]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> Column:
        return self.rows[column]

    @property
    def ok(self) -> Mask:
        """Mask of the lines of requests that succeeded."""
        return self["failure"] < 0

    @property
    def count(self) -> int:
        """Number of requests. A line may stand for several."""
        return int(self["requests"].sum())

    def where(self, mask: Mask) -> "Requests":
        """Return the requests that `mask` selects."""
        return Requests(self.rows[mask], self.failures)

    def between(self, start: float, end: float) -> "Requests":
        """Return the requests that ended after `start` and not after `end` (Unix seconds)."""
        return self.where((self["ts"] > start) & (self["ts"] <= end))


class History:
    """The requests in several logs, and in their rotated parts, such as `metrics.log.2026-11-22`."""

    def __init__(self, logs: LogSet) -> None:
        self.logs = logs
        self.requests = Requests(np.empty(0, _DTYPE), [])
        self._parser = Parser()
        self._offsets: dict[tuple[int, int], int] = {}
        self._skipped = 0
        self._torn = 0

    @property
    def skipped_lines(self) -> int:
        """Number of lines that could not be parsed, including incomplete last lines."""
        return self._skipped + self._torn

    def update(self, since: float) -> None:
        """Read what was appended to the logs, and keep the requests that ended after `since` (Unix seconds).

        Parts whose last line is well before `since` are not read.

        Raises:
            FileNotFoundError: one of the logs does not exist yet.
            OSError: a part cannot be read.
        """
        rows = array("d")
        self._torn = 0
        with ExitStack() as stack:
            logs = find_parts(self.logs.find(), stack)
            present = {part.key for parts in logs for part in parts}
            self._offsets = {key: offset for key, offset in self._offsets.items() if key in present}
            for row in in_order([self._rows(parts, since) for parts in logs]):
                rows.extend(row[:_KEPT])
        new = np.frombuffer(rows, _DTYPE)
        kept = self.requests.rows[self.requests["ts"] > since]
        self.requests = Requests(np.concatenate((kept, new)), list(self._parser.failures))

    def _rows(self, parts: Sequence[LogPart], since: float) -> Iterator[Row]:
        """Yield the lines of a log that were not read before, and note how far each part was read."""
        for part in parts:
            with part.opened() as file:
                reader = PartReader(file, self._start(part, file, since), self._parser)
                yield from (row for row in reader if row.ts > since)
                self._offsets[part.key] = reader.offset
                self._skipped += reader.skipped
                self._torn += reader.torn

    def _start(self, part: LogPart, file: BinaryIO, since: float) -> int:
        """Return the offset in bytes from which to read a part."""
        size = os.fstat(file.fileno()).st_size
        known = self._offsets.get(part.key)
        if known is not None:
            return known if known <= size else 0  # shorter than before: it was truncated
        if not part.current and ended_before(file, since, self._parser):
            return size
        return 0
