"""How fast a figure grows."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

FLOOR_PERCENT = 10


def slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the line of least squares through values, by the minute."""
    minutes = np.asarray(at_s) / 60
    return float(np.polyfit(minutes - minutes[0], values, 1)[0])


def floor_slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope through what a tenth of each minute's values are below: what comes and goes is no growth.

    The lowest value of a minute is a matter of chance again: by that there is more or less to do just then.
    """
    by_minute = groupby(zip(at_s, values, strict=True), key=lambda each: (each[0] - at_s[0]) // 60)
    minutes = [np.asarray(list(readings)) for _, readings in by_minute]
    return slope_per_min(
        [each[0, 0] for each in minutes], [np.percentile(each[:, 1], FLOOR_PERCENT) for each in minutes]
    )
