"""Scales and their ticks: where values and times lie, and what stands beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from src.metrics.figures import clock, day

MOST_TIME_TICKS = 9
_TIME_STEPS_S = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY_S = 86400
LEAST_S, MOST_S = 0.001, 1e6
"""Durations on a logarithmic scale lie between these: a wait of nothing has no logarithm."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on a scale, 0 to 1 from its beginning, and what stands there."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale of values, linear or logarithmic, from `low` to `high`."""

    low: float
    high: float
    log: bool
    ticks: Sequence[Tick]

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the bottom and 1 at the top. What lies beyond is drawn at the edge."""
        return _place(value, self.low, self.high, self.log)

    def value(self, place: float) -> float:
        """Return the value at a place, 0 to 1."""
        return self.low * (self.high / self.low) ** place if self.log else self.low + (self.high - self.low) * place


def linear_scale(top: float, *, whole: bool = False) -> Scale:
    """Return a scale from 0 to a round number of at least `top`, with up to five ticks above 0, at whole numbers only
    if `whole`."""
    top = top if top > 0 else 1.0
    decade = 10.0 ** math.floor(math.log10(top))
    step = next(decade * factor for factor in (0.2, 0.5, 1, 2) if top <= decade * factor * 5)
    step = max(step, 1.0) if whole else step
    steps = max(1, math.ceil(top / step - 1e-9))
    ticks = [Tick(index / steps, f"{step * index:,.10g}") for index in range(steps + 1)]
    return Scale(0.0, step * steps, False, ticks)


def log_scale(least: float, most: float) -> Scale:
    """Return a scale of seconds over the decades that hold `least` to `most`, with a tick at each; one has more."""
    least, most = (min(max(value, LEAST_S), MOST_S) for value in (least, most))
    low = min(math.floor(math.log10(least) + 1e-9), round(math.log10(MOST_S)) - 1)
    high = max(low + 1, math.ceil(math.log10(most) - 1e-9))
    factors = (1, 2, 5) if high - low == 1 else (1,)
    values = [factor * 10.0**decade for decade in range(low, high) for factor in factors] + [10.0**high]
    ends = 10.0**low, 10.0**high
    return Scale(*ends, True, [Tick(_place(value, *ends, True), _duration(value)) for value in values])


def time_ticks(start_s: float, end_s: float) -> list[Tick]:
    """Return ticks at round times UTC between two times, `MOST_TIME_TICKS` at most; midnight has its date."""
    days = (1, 2, 7, 14, 30, 90, 365)
    steps = (*_TIME_STEPS_S, *(_DAY_S * count for count in days), _DAY_S * 3650)
    step = next((step for step in steps if (end_s - start_s) / step <= MOST_TIME_TICKS), steps[-1])
    first = math.ceil(start_s / step) * step
    times = range(int(first), int(end_s) + 1, step)
    return [Tick((ts - start_s) / (end_s - start_s), _time_label(ts)) for ts in times]


def _place(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _duration(value: float) -> str:
    return f"{value:,.10g} s" if value >= 1 else f"{value * 1000:.10g} ms"


def _time_label(ts: int) -> str:
    at = datetime.fromtimestamp(ts, UTC)
    return day(ts) if (at.hour, at.minute, at.second) == (0, 0, 0) else clock(ts)
