"""The logs as series over time: what all pictures are drawn from.

They are read once, as one log, in blocks, and only sums stay in memory. A series begins with the narrowest bins and
merges them as the time between its first and last request grows; so it covers the time that has data, whatever the
window.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.metrics.history import Column
from src.metrics.load import read_loads
from src.metrics.log_set import LogSet
from src.metrics.parser import Failure, Parser, Row, Source
from src.metrics.parts import LogPart, PartReader, ended_before, find_parts, in_order
from src.metrics.process_ends import ProcessEnd, ends_path, read_ends
from src.metrics.quantiles import EXACT
from src.metrics.report import ReportWindow
from src.metrics.session_totals import SessionTotals
from src.metrics.tally import Rows, Tally
from src.metrics.uptime import Process, Uptime

MAX_BINS = 200
MIN_BINS = 12
"""A series has at least so many bins, so that a few requests are not stretched over its whole width."""
WIDTHS_S = (1, 5, 10, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400)
"""Widths of bins. Each divides the next, so that bins can be merged; they begin at full minutes, hours, days UTC."""
EXACT_OF_SOURCE = 50_000
"""Requests of a route and model whose percentiles are exact. There are fewer of these than of bins."""
BLOCK_LINES = 20_000
_DTYPE = np.dtype([(name, np.float64) for name in Row._fields])


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The requests of a window in bins of equal width, from the first request on.

    `bins` has None where no request ended. `total` adds all up, `sources` by model and route, and `replicas` by name.
    """

    window: ReportWindow
    now: float
    width_s: int
    start_s: int
    bins: Sequence[Tally | None]
    total: Tally
    sources: dict[Source, Tally]
    replicas: dict[str, Tally]
    uptime: Uptime

    @property
    def end_s(self) -> int:
        """End of the last bin, in Unix seconds."""
        return self.start_s + self.width_s * len(self.bins)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What was read of the logs: a series for each window that has requests, by the window's name."""

    series: dict[str, Series]
    skipped_lines: int


def read_series(logs: LogSet, windows: Sequence[ReportWindow], now: float) -> Reading:
    """Read the logs and return the series of `windows`, which end at `now` (Unix seconds).

    Raises:
        FileNotFoundError: one of the logs does not exist yet.
        OSError: a part cannot be read.
    """
    since = now - max(window.seconds for window in windows)
    blocks = _Blocks(logs, since)
    binnings = [_Binning(window, now) for window in windows]
    folders = {ends_path(log): log for log in logs.find()}.values()  # one log of each
    ends = [end for log in folders for end in read_ends(log)]
    uptime = Uptime()
    for started, ended, replica in [*ends, *_last_signs(folders)]:
        if since < ended <= now:
            uptime.add_sign(Process(started, replica), ended)
    sessions = SessionTotals(ends)
    for rows in blocks:
        rows = sessions.apply(rows[rows["ts"] <= now])
        uptime.add(rows, list(blocks.parser.replicas))
        failures = list(blocks.parser.failures)
        for binning in binnings:
            binning.add(rows[rows["ts"] > now - binning.window.seconds], failures)
    found = {each.window.name: each.series(blocks.parser, uptime) for each in binnings if each.bins}
    return Reading(found, blocks.skipped_lines)


def _last_signs(logs: Iterable[Path]) -> Iterator[ProcessEnd]:
    """Yield the time at which each process that ran or was killed has last renewed its file."""
    for log in logs:
        yield from (ProcessEnd(each.process_started, each.ts, each.replica) for each in read_loads(log))


class _Blocks:
    """Iterates over the lines of the logs that ended after `since`, in blocks, and counts those it cannot read."""

    def __init__(self, logs: LogSet, since: float) -> None:
        self._logs = logs
        self._since = since
        self.parser = Parser()
        self.skipped_lines = 0

    def __iter__(self) -> Iterator[Rows]:
        block = array("d")
        with ExitStack() as stack:
            logs = find_parts(self._logs.find(), stack)
            for row in in_order([self._rows(parts) for parts in logs]):
                block.extend(row)
                if len(block) >= BLOCK_LINES * len(Row._fields):
                    yield np.frombuffer(block, _DTYPE)
                    block = array("d")
        if block:
            yield np.frombuffer(block, _DTYPE)

    def _rows(self, parts: Sequence[LogPart]) -> Iterator[Row]:
        """Yield the lines of a log."""
        for part in parts:
            with part.opened() as file:
                if not part.current and ended_before(file, self._since, self.parser):
                    continue
                reader = PartReader(file, 0, self.parser)
                yield from (row for row in reader if row.ts > self._since)
                self.skipped_lines += reader.skipped + reader.torn


@dataclass(slots=True)
class _Binning:
    """The bins of a window while the log is read, by the number of their width since 1970."""

    window: ReportWindow
    now: float
    level: int = 0
    """The bins' width is `WIDTHS_S[level]`."""
    bins: dict[int, Tally] = field(default_factory=dict)
    sources: dict[int, Tally] = field(default_factory=dict)
    """By the number of the source."""
    replicas: dict[int, Tally] = field(default_factory=dict)
    """By the number of the replica."""

    @property
    def width_s(self) -> int:
        return WIDTHS_S[self.level]

    def add(self, rows: Rows, failures: Sequence[Failure]) -> None:
        """Add lines within the window."""
        if not len(rows):
            return
        self._widen(float(rows["ts"].min()), float(rows["ts"].max()))
        _add_by(np.floor(rows["ts"] / self.width_s), rows, self.bins, failures, EXACT)
        _add_by(rows["source"], rows, self.sources, failures, EXACT_OF_SOURCE)
        _add_by(rows["replica"], rows, self.replicas, failures, EXACT_OF_SOURCE)

    def _widen(self, first_ts: float, last_ts: float) -> None:
        """Make the bins so wide that there are not more than `MAX_BINS` if they also cover these times."""
        first_s = min([first_ts, *(number * self.width_s for number in self.bins)])
        last_s = max([last_ts, *(number * self.width_s for number in self.bins)])
        level = self.level
        while level + 1 < len(WIDTHS_S) and last_s // WIDTHS_S[level] - first_s // WIDTHS_S[level] >= MAX_BINS:
            level += 1
        if level == self.level:
            return
        merged: dict[int, list[Tally]] = {}
        for number, tally in self.bins.items():
            merged.setdefault(number * self.width_s // WIDTHS_S[level], []).append(tally)
        self.bins = {number: Tally.merged(each, most_exact=EXACT) for number, each in merged.items()}
        self.level = level

    def series(self, parser: Parser, uptime: Uptime) -> Series:
        """Return what was added, which must not be nothing. `parser` has numbered the sources and replicas."""
        first, end = self._range()
        sources, replicas = list(parser.sources), list(parser.replicas)
        return Series(
            window=self.window,
            now=self.now,
            width_s=self.width_s,
            start_s=first * self.width_s,
            bins=[self.bins.get(number) for number in range(first, end)],
            total=Tally.merged(self.bins.values()),
            sources={sources[number]: self.sources[number] for number in sorted(self.sources)},
            replicas={replicas[number]: self.replicas[number] for number in sorted(self.replicas)},
            uptime=uptime,
        )

    def _range(self) -> tuple[int, int]:
        """Return the number of the first bin and that after the last.

        The time from the last request until now is part of it unless it is long beside the time that has requests.
        """
        first, last, now = min(self.bins), max(self.bins), math.floor(self.now / self.width_s)
        if now - last <= (last - first + 1) / 4:
            last = now
        return min(first, last + 1 - MIN_BINS), last + 1


def _add_by(keys: Column, rows: Rows, tallies: dict[int, Tally], failures: Sequence[Failure], most_exact: int) -> None:
    """Add each of the rows to the tally of its key. New tallies are exact for `most_exact` requests."""
    found, key_of = np.unique(keys, return_inverse=True)
    order = np.argsort(key_of, kind="stable")
    bounds = np.searchsorted(key_of[order], np.arange(len(found) + 1))
    for index, key in enumerate(found):
        tally = tallies.setdefault(int(key), Tally.exact(most_exact))
        tally.add(rows[order[bounds[index] : bounds[index + 1]]], failures)
