"""How fast a figure grows."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np


def slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the line of least squares through values, by the minute."""
    minutes = np.asarray(at_s) / 60
    return float(np.polyfit(minutes - minutes[0], values, 1)[0])


def floor_slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope through the lowest value of each minute: what comes and goes within a minute is no growth."""
    by_minute = groupby(zip(at_s, values, strict=True), key=lambda each: (each[0] - at_s[0]) // 60)
    lowest = [min(readings, key=lambda each: each[1]) for _, readings in by_minute]
    return slope_per_min([each[0] for each in lowest], [each[1] for each in lowest])
