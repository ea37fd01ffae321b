"""How fast a figure grows."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

FLOOR_PERCENT = 10


def slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope per minute of the least-squares line through values."""
    minutes = np.asarray(at_s) / 60
    return float(np.polyfit(minutes - minutes[0], values, 1)[0])


def floor_slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope per minute of each minute's 10th percentile, which ignores temporary growth.

    The minimum of a minute would be too random: it depends on the load at that moment.
    """
    by_minute = groupby(zip(at_s, values, strict=True), key=lambda each: (each[0] - at_s[0]) // 60)
    minutes = [np.asarray(list(readings)) for _, readings in by_minute]
    return slope_per_min(
        [each[0, 0] for each in minutes], [np.percentile(each[:, 1], FLOOR_PERCENT) for each in minutes]
    )
