"""Made-up traffic of a fleet: uploads and sessions, as they come and how long they are."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

MEDIAN_S, SIGMA = 8.0, 1.0
"""Lengths of clips are log-normal: half of them are shorter than 8 s, one in twenty is longer than 41 s, the mean is
13 s. Recorded speech has such lengths; these two figures are assumed."""
LONG_SHARE, LONG_S = 0.002, 3600.0
"""One file in five hundred is an hour long."""
SHORTEST_S = 0.5
MEAN_S = MEDIAN_S * math.exp(SIGMA**2 / 2) * (1 - LONG_SHARE) + LONG_S * LONG_SHARE
"""Mean length of a file in seconds."""
BURST = 2.0
"""How much faster uploads come in a burst than between bursts."""
BURST_S, CALM_S = 1.0, 4.0
"""Mean length of a burst, and of the time between two of them, in seconds."""
UPLOADING_S = 0.1
"""Mean time that an upload takes to arrive and to be decoded, in seconds."""
SESSION_S = (120.0, 3600.0)
"""Shortest and longest session in seconds; all lengths between them are equally likely."""


@dataclass(frozen=True)
class Arrival:
    """An upload or a session that comes."""

    at: float
    """When, in seconds."""
    is_session: bool
    lasts_s: float
    """Length of the file's audio, or of the session, in seconds."""
    uploading_s: float = 0.0
    """How long the file takes to arrive and to be decoded."""


def arrivals(uploads_per_s: float, sessions_per_s: float, until: float, seed: int) -> Iterator[Arrival]:
    """Yield uploads and sessions in the order in which they come: Poisson arrivals, with bursts of uploads."""
    choice = Random(seed)
    calm_per_s = uploads_per_s * (CALM_S + BURST_S) / (CALM_S + BURST * BURST_S)
    now, is_burst, changes_at = 0.0, False, choice.expovariate(1 / CALM_S)
    while now < until:
        rate = (BURST if is_burst else 1.0) * calm_per_s + sessions_per_s
        next_at = now + choice.expovariate(rate)
        if next_at >= changes_at:  # an exponential wait may begin anew at any time
            now, is_burst = changes_at, not is_burst
            changes_at = now + choice.expovariate(1 / (BURST_S if is_burst else CALM_S))
            continue
        now = next_at
        if choice.random() * rate < sessions_per_s:
            yield Arrival(now, True, choice.uniform(*SESSION_S))
        else:
            yield Arrival(now, False, _file_s(choice), choice.expovariate(1 / UPLOADING_S))


def _file_s(choice: Random) -> float:
    if choice.random() < LONG_SHARE:
        return LONG_S
    return max(SHORTEST_S, choice.lognormvariate(math.log(MEDIAN_S), SIGMA))
