"""Percentiles of any number of values in bounded memory."""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from src.metrics.history import Column
from src.metrics.report import Percentiles

EXACT = 2_000
"""Values that are kept as they are, unless a `Quantiles` is told otherwise. If there are more, they are counted in
buckets."""
LOWEST_S = 1e-4
HIGHEST_S = 1e6
GROWTH = 1.01
"""Each bucket is a hundredth wider than the one before, so a value taken from its middle is off by half a percent."""

_LOG_GROWTH = math.log(GROWTH)
_BUCKETS = math.ceil(math.log(HIGHEST_S / LOWEST_S) / _LOG_GROWTH) + 1


class Quantiles:
    """Durations in seconds, of which percentiles are asked.

    The percentiles are exact, with linear interpolation, while there are few values. After that they are off by half a
    percent at most; values beyond `LOWEST_S` and `HIGHEST_S` then count as these.

    Args:
        most_exact: how many values are kept as they are.
    """

    def __init__(self, most_exact: float | None = None) -> None:
        self._most_exact = EXACT if most_exact is None else most_exact
        self._values: list[Column] = []
        self._buckets: npt.NDArray[np.int64] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_exact(self) -> bool:
        """Whether all values are still kept."""
        return self._buckets is None

    def add(self, values: Column) -> None:
        """Add values (values,), ignoring NaN."""
        known = values[~np.isnan(values)]
        self._count += len(known)
        if self._buckets is not None:
            self._buckets += _bucketed(known)
            return
        if len(known):
            self._values.append(known)
        if self._count > self._most_exact:
            self._buckets = self._counts()
            self._values = []

    @classmethod
    def merged(cls, parts: Iterable["Quantiles"], *, most_exact: float = math.inf) -> "Quantiles":
        """Return the values of all parts: in buckets if one of them is, or if there are more than `most_exact`."""
        found, parts = cls(most_exact), list(parts)
        found._count = sum(map(len, parts))
        if found._count <= most_exact and all(part.is_exact for part in parts):
            found._values = [values for part in parts for values in part._values]
        else:
            found._buckets = sum((part._counts() for part in parts), np.zeros(_BUCKETS, np.int64))
        return found

    def percentiles(self) -> Percentiles:
        """Return the 50th, 95th and 99th percentile in seconds."""
        if self._buckets is None:
            return Percentiles.of(np.concatenate(self._values) if self._values else np.empty(0))
        ranks = np.array((0.50, 0.95, 0.99)) * (self._count - 1)
        found = np.searchsorted(np.cumsum(self._buckets), ranks, side="right")
        return Percentiles(*(LOWEST_S * GROWTH ** (int(bucket) - 0.5) if bucket else LOWEST_S for bucket in found))

    def _counts(self) -> npt.NDArray[np.int64]:
        if self._buckets is not None:
            return self._buckets.copy()
        return sum(map(_bucketed, self._values), np.zeros(_BUCKETS, np.int64))


def _bucketed(values: Column) -> npt.NDArray[np.int64]:
    """Return how many of the values lie in each bucket: the first has those up to `LOWEST_S`."""
    inside = np.clip(values, LOWEST_S, HIGHEST_S)
    return np.bincount(np.ceil(np.log(inside / LOWEST_S) / _LOG_GROWTH).astype(np.int64), minlength=_BUCKETS)
