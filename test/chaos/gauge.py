"""Repeated readings of the service's process, under load and at rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import memory_in_use
import process_tree
from memory_in_use import InUse
from process_tree import Reading
from supervisor import Supervisor
from trend import floor_slope_per_min, slope_per_min

Slope = Callable[[Sequence[float], Sequence[float]], float]

PERIOD_S = 0.2
"""The heap is trimmed every fifth second and full again within a second."""
SETTLING_S = 60.0
"""Ignored time at the start of a life, in which caches and pools fill."""
MIN_S = 180.0
"""The shortest time that gives a slope: a burst of calls is a step in a shorter one."""
REST_PERIOD_S = 0.5
REST_PERIODS = 14
"""The process is at rest once its descriptors have not changed for this long: an idle connection stays for 5 s, and the
heap is trimmed by then."""
REST_S = 30.0


class Gauge:
    """Readings of the current life of a supervisor's service, which writes its memory in use to the file `in_use`."""

    def __init__(self, supervisor: Supervisor, in_use: Path) -> None:
        self.readings: list[Reading] = []
        self._supervisor = supervisor
        self._in_use = in_use

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Take readings while the block runs."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def at_rest(self) -> Reading | None:
        """Wait until the process is at rest and return a reading; None if it has ended."""
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
        """Return how fast a field of the readings grew in the last life; None if that was too short.

        `slope` takes times in seconds and values, and returns the growth per minute.
        """
        return self._slope(self.readings, what, since_s, until_s, slope)

    def in_use_growth_per_min(self, since_s: float, until_s: float) -> float | None:
        """Return how fast the memory in use grew, in MB, apart from what the work of the moment takes.

        None if the last life was too short, or nothing was written.
        """
        return self._slope(memory_in_use.read(self._in_use), "mb", since_s, until_s, floor_slope_per_min)

    def _slope(
        self, readings: Sequence[Reading | InUse], what: str, since_s: float, until_s: float, slope: Slope
    ) -> float | None:
        life = self._supervisor.life
        since_s = max(since_s, life.ready_s + SETTLING_S)
        readings = [each for each in readings if each.pid == life.pid and since_s <= each.at_s <= until_s]
        if not readings or readings[-1].at_s - readings[0].at_s < MIN_S:
            return None
        return slope([each.at_s for each in readings], [getattr(each, what) for each in readings])

    async def _watch(self) -> None:
        while True:
            if reading := process_tree.read(self._supervisor.life.pid):
                self.readings.append(reading)
            await asyncio.sleep(PERIOD_S)
