"""Counters and histograms over all lines of the log, by model and route. They only grow."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from src.metrics.parser import Failure, Parser, Row, Source

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Upper bounds of the buckets of durations: Prometheus' own, with finer and longer ones."""
CLIPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of the buckets of batch sizes."""
FORGOTTEN_S = 86400.0
"""A replica that has written no line for so long, beside the others, is gone: some have a new name at each start."""
SUCCESS = Failure(200, "")
"""What successful requests are counted under."""


@dataclass(slots=True)
class Histogram:
    """Values counted in buckets: `counts[i]` are those up to `bounds[i]`, the last count those above all bounds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Add a value, unless it is NaN. A negative one, which no service writes, counts as 0: counters only grow."""
        if not math.isnan(value):
            self.counts[bisect_left(self.bounds, value)] += 1
            self.total += max(value, 0)


@dataclass(slots=True)
class SourceCounters:
    """The counters of one source. As in the report, durations are those of successful requests."""

    requests: dict[Failure, int] = field(default_factory=dict)
    """Number of requests by status and error code; `SUCCESS` for all that succeeded."""
    audio_s: float = 0.0
    busy_s: float = 0.0
    """Seconds that the model was busy: `duration_inference_s` divided by the batch size, of all requests."""
    total_s: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    queue_wait_s: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    inference_s: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_size: Histogram = field(default_factory=lambda: Histogram(CLIPS))

    def add(self, row: Row, failure: Failure | None) -> None:
        """Count a line: `row`, which ended in `failure` if it did not succeed."""
        kind = failure or SUCCESS
        self.requests[kind] = self.requests.get(kind, 0) + int(row.requests)
        self.batch_size.add(row.batch_size)
        if not math.isnan(row.duration_inference_s):
            clips = 1 if math.isnan(row.batch_size) else max(row.batch_size, 1)
            self.busy_s += max(row.duration_inference_s, 0) / clips
        if failure is None:
            self.audio_s += 0 if math.isnan(row.audio_len_s) else max(row.audio_len_s, 0)
            self.total_s.add(row.duration_total_s)
            self.queue_wait_s.add(row.queue_wait_s)
            self.inference_s.add(row.duration_inference_s)

    def to_json(self) -> list[Any]:
        """Return the counters as JSON, for `from_json`."""
        requests = [[*kind, count] for kind, count in sorted(self.requests.items())]
        histograms = [[each.counts, each.total] for each in self._histograms()]
        return [requests, self.audio_s, self.busy_s, *histograms]

    @classmethod
    def from_json(cls, document: list[Any]) -> "SourceCounters":
        """Return the counters of `to_json`.

        Raises:
            ValueError, TypeError: the document is of another form.
        """
        requests, audio_s, busy_s, *histograms = document
        found = cls({Failure(code, error): count for code, error, count in requests}, audio_s, busy_s)
        for histogram, (counts, total) in zip(found._histograms(), histograms, strict=True):
            if len(counts) != len(histogram.counts):
                raise ValueError("other buckets")
            histogram.counts, histogram.total = counts, total
        return found

    def _histograms(self) -> tuple[Histogram, ...]:
        return self.total_s, self.queue_wait_s, self.inference_s, self.batch_size


class Start(NamedTuple):
    """When a replica's latest process started, and when that has last written a line, in Unix seconds."""

    started: float
    last_ts: float


@dataclass(slots=True)
class Counters:
    """The counters of all sources, of all replicas together, and of the logs themselves."""

    sources: dict[Source, SourceCounters] = field(default_factory=dict)
    skipped_lines: int = 0
    """Lines that could not be parsed."""
    last_ts: float = 0.0
    """End of the latest request, in Unix seconds."""
    starts: dict[str, Start] = field(default_factory=dict)
    """The latest process of each replica, by the replica's name; those whose lines say when they started."""

    def add(self, rows: Iterable[Row], parser: Parser) -> None:
        """Count rows that `parser` has parsed."""
        failures: list[Failure] = []
        sources: list[Source] = []
        replicas: list[str] = []
        for row in rows:
            if row.failure >= len(failures):
                failures = [Failure(each.code, _encodable(each.error)) for each in parser.failures]
            if row.source >= len(sources):
                sources = [Source(*map(_encodable, each)) for each in parser.sources]
            counters = self.sources.setdefault(sources[int(row.source)], SourceCounters())
            counters.add(row, None if row.failure < 0 else failures[int(row.failure)])
            self.last_ts = max(self.last_ts, row.ts)
            if row.replica >= len(replicas):
                replicas = [_encodable(each) for each in parser.replicas]
            self._add_start(replicas[int(row.replica)], row)
        for replica, start in list(self.starts.items()):
            if start.last_ts < self.last_ts - FORGOTTEN_S:
                del self.starts[replica]

    def _add_start(self, replica: str, row: Row) -> None:
        known = self.starts.get(replica, Start(0.0, 0.0))
        started = max(known.started, row.process_started)  # of NaN, which comes second, this is the known one
        if started:
            self.starts[replica] = Start(started, max(known.last_ts, row.ts))

    def to_json(self) -> list[Any]:
        """Return the counters as JSON, for `from_json`."""
        sources = [[*source, counters.to_json()] for source, counters in sorted(self.sources.items())]
        starts = [[replica, *start] for replica, start in sorted(self.starts.items())]
        return [sources, self.skipped_lines, self.last_ts, starts]

    @classmethod
    def from_json(cls, document: list[Any]) -> "Counters":
        """Return the counters of `to_json`.

        Raises:
            ValueError, TypeError: the document is of another form.
        """
        sources, skipped_lines, last_ts, starts = document
        found = {Source(model, route): SourceCounters.from_json(counters) for model, route, counters in sources}
        if isinstance(starts, int | float):  # as written before there were replicas
            starts = [["", starts, last_ts]] if starts else []
        return cls(found, skipped_lines, last_ts, {replica: Start(*start) for replica, *start in starts})


def _encodable(text: str) -> str:
    """Return `text` without lone surrogates, which JSON may hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
