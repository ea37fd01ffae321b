"""How fast a figure grows."""

from collections.abc import Sequence

import numpy as np


def slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the line of least squares through values, by the minute."""
    minutes = np.asarray(at_s) / 60
    return float(np.polyfit(minutes - minutes[0], values, 1)[0])
