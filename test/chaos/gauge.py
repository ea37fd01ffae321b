"""What the service's process holds, read again and again, and at rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import process_tree
from process_tree import Reading
from supervisor import Supervisor
from trend import slope_per_min

Slope = Callable[[Sequence[float], Sequence[float]], float]

PERIOD_S = 0.2
"""The heap is trimmed every fifth second and full again within a second: in between it holds what the batches of that
time happened to need, and only just after the trim what the process does not give back."""
SETTLING_S = 60.0
"""The first minute of a life says nothing about the later ones: caches fill, pools come up."""
FEWEST = round(180 / PERIOD_S)
"""Readings, three minutes of them, from which a slope says something: a burst of calls is a step in it."""
REST_PERIOD_S = 0.5
REST_PERIODS = 14
"""Descriptors that have not changed for so long are at rest: an idle connection is kept for 5 s, and the heap is
trimmed by then."""
REST_S = 30.0


class Gauge:
    """Readings of the present life of a supervisor's service."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.readings: list[Reading] = []
        self._supervisor = supervisor

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Read again and again while the block runs."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def at_rest(self) -> Reading | None:
        """Wait until nothing comes and goes any more and return what is held then; None if the process has ended."""
        counts: list[int] = []
        reading = None
        for _ in range(round(REST_S / REST_PERIOD_S)):
            reading = process_tree.read(self._supervisor.life.pid)
            counts.append(reading.descriptors if reading else 0)
            if len(counts) >= REST_PERIODS and len(set(counts[-REST_PERIODS:])) == 1:
                break
            await asyncio.sleep(REST_PERIOD_S)
        return reading

    def growth_per_min(self, what: str, since_s: float, until_s: float, slope: Slope = slope_per_min) -> float | None:
        """Return how fast a field of the readings grew in the last life; None where that was too short to say.

        `slope` takes times in seconds and values, and returns the growth by the minute.
        """
        life = self._supervisor.life
        since_s = max(since_s, life.ready_s + SETTLING_S)
        readings = [each for each in self.readings if each.pid == life.pid and since_s <= each.at_s <= until_s]
        if len(readings) < FEWEST:
            return None
        return slope([each.at_s for each in readings], [getattr(each, what) for each in readings])

    async def _watch(self) -> None:
        while True:
            if reading := process_tree.read(self._supervisor.life.pid):
                self.readings.append(reading)
            await asyncio.sleep(PERIOD_S)
