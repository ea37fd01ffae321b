"""What a number of requests add up to."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from src.metrics.outcome import RequestOutcome, outcome_of
from src.metrics.parser import Failure
from src.metrics.quantiles import Quantiles

Rows = npt.NDArray[np.void]
"""Lines of the log (lines,), with the fields of `Row`."""
OUTCOMES = tuple(RequestOutcome)


@dataclass(slots=True)
class Tally:
    """Requests added up. Durations and audio are those of successful requests, as in the report."""

    outcomes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(OUTCOMES), np.int64))
    """Number of requests for each of `OUTCOMES`."""
    failures: Counter[Failure] = field(default_factory=Counter)
    total: Quantiles = field(default_factory=Quantiles)
    queue_wait: Quantiles = field(default_factory=Quantiles)
    audio_s: float = 0.0
    busy_s: float = 0.0
    """Seconds that the model was busy."""
    batches: int = 0
    """Number of requests that were in a batch, and below it the sum of the batches' sizes and the largest."""
    batch_sum: float = 0.0
    largest_batch: float = 0.0
    most_sessions: float = math.nan
    """Most realtime sessions that were open at the end of a request; NaN if no line says."""

    @property
    def requests(self) -> int:
        """Number of requests."""
        return int(self.outcomes.sum())

    @property
    def mean_batch_size(self) -> float | None:
        """Mean size of a request's batch in clips."""
        return self.batch_sum / self.batches if self.batches else None

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio per second that the model was busy."""
        return self.audio_s / self.busy_s if self.busy_s else None

    def count_of(self, outcome: RequestOutcome) -> int:
        """Return the number of requests with an outcome."""
        return int(self.outcomes[OUTCOMES.index(outcome)])

    @classmethod
    def exact(cls, most: int) -> "Tally":
        """Return a tally without requests whose percentiles are exact for up to `most` of them."""
        return cls(total=Quantiles(most), queue_wait=Quantiles(most))

    def add(self, rows: Rows, failures: Sequence[Failure]) -> None:
        """Add lines. `failures` has the kinds of failure that they name by number."""
        kinds = (rows["failure"] + 1).astype(np.int64)
        counts = np.bincount(kinds, rows["requests"], len(failures) + 1).astype(np.int64)
        self.outcomes[0] += counts[0]
        for failure, count in zip(failures, counts[1:], strict=True):
            if count:
                self.outcomes[OUTCOMES.index(outcome_of(failure.code))] += count
                self.failures[failure] += int(count)
        done = rows[kinds == 0]
        self.total.add(done["duration_total_s"])
        self.queue_wait.add(done["queue_wait_s"])
        self.audio_s += float(np.nansum(done["audio_len_s"]))
        self._add_batches(rows)
        if not np.isnan(rows["sessions"]).all():
            self.most_sessions = float(np.fmax(self.most_sessions, np.nanmax(rows["sessions"])))

    def _add_batches(self, rows: Rows) -> None:
        # fmax turns NaN, an unknown batch size, into 1
        self.busy_s += float(np.nansum(rows["duration_inference_s"] / np.fmax(rows["batch_size"], 1)))
        sizes = rows["batch_size"][~np.isnan(rows["batch_size"])]
        if len(sizes):
            self.batches += len(sizes)
            self.batch_sum += float(sizes.sum())
            self.largest_batch = max(self.largest_batch, float(sizes.max()))

    @classmethod
    def merged(cls, parts: Iterable["Tally"], *, most_exact: float = math.inf) -> "Tally":
        """Return the sum of tallies. `most_exact` is that of `Quantiles.merged`."""
        parts = list(parts)
        found = cls(
            total=Quantiles.merged((part.total for part in parts), most_exact=most_exact),
            queue_wait=Quantiles.merged((part.queue_wait for part in parts), most_exact=most_exact),
            audio_s=sum(part.audio_s for part in parts),
            busy_s=sum(part.busy_s for part in parts),
            batches=sum(part.batches for part in parts),
            batch_sum=sum(part.batch_sum for part in parts),
            largest_batch=max((part.largest_batch for part in parts), default=0.0),
        )
        for part in parts:
            found.outcomes += part.outcomes
            found.failures.update(part.failures)
            found.most_sessions = float(np.fmax(found.most_sessions, part.most_sessions))
        return found
