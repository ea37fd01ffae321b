"""The outcome of a soak test, and its findings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import verdict
from attempt import Attempt
from faults import Visit
from life import Life
from metrics_audit import Audit
from process_tree import Reading

IN_USE_MB_PER_MIN = 1.0
RESIDENT_MB_PER_MIN = 5.0
"""Allowed growth of memory in the second half. Where no more was used in the end, resident memory had slopes from -3.2
to 2.9, by the blocks that happened to be free. Its limit is for what malloc does not know of, such as mapped files."""
FLAT = 4
"""Allowed growth of the number of descriptors: files that are opened on first use."""
EXAMPLES = 5


@dataclass(frozen=True)
class Growth:
    """Slopes per minute over the second half; None if it was too short.

    `rss_floor_mb` and `in_use_mb` are the slopes of each minute's lowest tenth. The slope of all readings depends on
    the random composition of the batches.
    """

    rss_mb: float | None
    rss_floor_mb: float | None
    in_use_mb: float | None
    children_rss_mb: float | None
    descriptors: float | None
    threads: float | None


@dataclass(frozen=True)
class Outcome:
    """All results; `half_time_s` is `time.monotonic`.

    `at_begin` and `at_end` are readings at rest, before and after the load of the part without stops.
    """

    judged: Sequence[tuple[Attempt, str]]
    visits: Sequence[Visit]
    faults: Counter[str]
    lives: Sequence[Life]
    audit: Audit
    half_time_s: float
    at_begin: Reading | None
    at_end: Reading | None
    readings: Sequence[Reading]
    growth: Growth
    disk_mounted: bool
    like_reference: str
    tracebacks: int

    @property
    def findings(self) -> list[str]:
        """What is wrong, in sentences; a soak test without any has passed."""
        return [*self._calls(), *self._kinds(), *self._visits(), *self._log(), *self._ends(), *self._growth()]

    def figures(self) -> dict[str, Any]:
        """Return the figures for a JSON file."""
        counts = Counter((attempt.call.kind, came_to) for attempt, came_to in self.judged)
        return {
            "requests": [{"kind": kind, "verdict": word, "count": count} for (kind, word), count in counts.items()],
            "faults": dict(self.faults),
            "visits": {f"{each.kind}: {each.code}": count for each, count in Counter(self.visits).items()},
            "lives": [asdict(life) for life in self.lives],
            "audit": asdict(self.audit),
            "at_begin": asdict(self.at_begin) if self.at_begin else None,
            "at_end": asdict(self.at_end) if self.at_end else None,
            "growth_per_min": asdict(self.growth),
            "readings": [asdict(reading) for reading in self.readings],
            "tracebacks": self.tracebacks,
            "findings": self.findings,
        }

    def _calls(self) -> Iterator[str]:
        for word in verdict.FINDINGS:
            found = [attempt for attempt, came_to in self.judged if came_to == word]
            for attempt in found[:EXAMPLES]:
                yield f"{word}: {attempt.request_id}, {attempt.call.name}: {attempt.code} {attempt.text!r}"
            if len(found) > EXAMPLES:
                yield f"{word}: {len(found)} in all"

    def _kinds(self) -> Iterator[str]:
        sent = {attempt.call.kind for attempt, _ in self.judged}
        right = {attempt.call.kind for attempt, came_to in self.judged if came_to == verdict.RIGHT}
        yield from (f"no right answer: {kind}" for kind in sorted(sent - right))

    def _visits(self) -> Iterator[str]:
        for visit, count in Counter(self.visits).items():
            if not visit.is_expected:
                yield f"{visit.kind}: {visit.code}, {count} times"

    def _log(self) -> Iterator[str]:
        for word, ids in (
            ("missing in", self.audit.missing),
            ("twice in", self.audit.twice),
            ("with another status in", self.audit.other_status),
        ):
            if ids:
                yield f"{len(ids)} answers {word} the metrics log, such as {', '.join(ids[:EXAMPLES])}"

    def _ends(self) -> Iterator[str]:
        for number, life in enumerate(self.lives, 1):
            if not life.as_asked:
                asked = life.end_signal.name if life.end_signal else "no signal"
                yield f"process {number} ended with exit code {life.exit_code} after {asked}"

    def _growth(self) -> Iterator[str]:
        for what, slope, limit in (
            ("memory in use", self.growth.in_use_mb, IN_USE_MB_PER_MIN),
            ("resident memory", self.growth.rss_floor_mb, RESIDENT_MB_PER_MIN),
        ):
            if slope is not None and slope >= limit:
                yield f"{what} grew by {slope:.2f} MB a minute"
        if not self.at_begin or not self.at_end or self.at_begin.pid != self.at_end.pid:
            yield "the time without stops was not one life of the process"
        elif self.at_end.descriptors > self.at_begin.descriptors + FLAT:
            yield f"descriptors grew from {self.at_begin.descriptors} to {self.at_end.descriptors}"
