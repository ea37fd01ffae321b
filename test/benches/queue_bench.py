"""The scheduler's cost per request with few and with many requests in the queue.

python3 test/benches/queue_bench.py [--few N] [--many N] [--n N] [--rounds N] [--most RATIO]

Enough callers repeat their requests that the queue never gets shorter than `--few` or `--many`. The model answers at
once, so CPU time is that of admission, the queue and the lanes. Few and many take turns in short rounds in one process,
and the best round counts, because other programs can only add to it. The exit code is 1 if a load costs more than
`--most` times as much with many waiting. The table is also saved as `test/results/queue_bench.txt` and `.json`.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random

import search_path
import client
import client_report
import numpy as np
import uvloop
from columns import columns
from instant_model import InstantModel

from src.audio.samples import SAMPLE_RATE
from src.engine.model import StreamStep
from src.errors import QueueFull
from src.memory.process import freeze_gc
from src.scheduling.jobs import Kind, Priority
from src.scheduling.scheduler import Scheduler
from src.settings import Settings

SILENCE = np.zeros(30 * SAMPLE_RATE, np.float32)
MAX_RATIO = 1.2
KEYS = 4
"""Number of clients that the callers belong to."""


@dataclass(frozen=True)
class Ask:
    """One request: the length of its clip in seconds, its kind and its priority."""

    seconds: float = 10.0
    kind: Kind = Kind.UPLOAD
    priority: Priority = Priority.NORMAL
    is_step: bool = False
    leaves: bool = False
    """Whether the caller leaves while the clip waits."""


def mixed(choice: Random) -> Ask:
    """Return a random request."""
    if choice.random() < 0.2:
        return Ask(3.0, Kind.REALTIME, is_step=True)
    kind, priority = choice.choice(list(Kind)), choice.choice(list(Priority))
    return Ask(choice.uniform(0.5, 30.0), kind, priority, leaves=choice.random() < 0.2)


LOADS: dict[str, Callable[[Random], Ask]] = {
    "all of 10 s": lambda _: Ask(),
    "0.5 to 30 s": lambda choice: Ask(choice.uniform(0.5, 30.0)),
    "1 s among 25 s": lambda choice: Ask(1.0 if choice.random() < 0.1 else 25.0),
    "high, of few keys": lambda _: Ask(priority=Priority.HIGH),
    "steps and clips": lambda choice: Ask(3.0, Kind.REALTIME, is_step=choice.random() < 0.5),
    "half leave": lambda choice: Ask(leaves=choice.random() < 0.5),
    "all of it": mixed,
}
REJECTED = "refused"
"""The load of requests for which the queue has no slot."""


@dataclass(frozen=True)
class Cost:
    """CPU microseconds per request of one load, with few and with many waiting."""

    load: str
    few_us: float
    many_us: float

    @property
    def ratio(self) -> float:
        return self.many_us / self.few_us


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments(argv)
    costs = [measure(load, options) for load in [*LOADS, REJECTED]]
    text = table(costs, options)
    print(text, end="")
    client_report.save(options.results / "queue_bench.txt", text)
    figures = {"few": options.few, "many": options.many, "costs": [asdict(cost) for cost in costs]}
    client_report.save(options.results / "queue_bench.json", json.dumps(figures, indent=2) + "\n")
    return int(any(cost.ratio > options.most for cost in costs))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure what a long queue adds to the cost of a request.")
    parser.add_argument("--few", type=client.positive_int, default=10, help="waiting (default: %(default)s)")
    parser.add_argument("--many", type=client.positive_int, default=4000, help="waiting (default: %(default)s)")
    parser.add_argument(
        "--n", type=client.positive_int, default=4000, help="requests of a round (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=client.positive_int, default=7, help="(default: %(default)s)")
    parser.add_argument(
        "--most", type=client.positive, default=MAX_RATIO, metavar="RATIO", help="(default: %(default)g)"
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def measure(load: str, options: argparse.Namespace) -> Cost:
    """Return the best round of a load with few waiting, and with many."""
    best = {options.few: float("inf"), options.many: float("inf")}
    for number in range(options.rounds):
        for waiting in best:
            if load == REJECTED:
                spent_s = uvloop.run(rejected(waiting, options.n))
            else:
                spent_s = uvloop.run(served(waiting, options.n, load, Random(number)))
            best[waiting] = min(best[waiting], spent_s * 1e6 / options.n)
    return Cost(load, best[options.few], best[options.many])


async def started(slots: int) -> Scheduler:
    """Return a scheduler with at least `slots` slots, on a model that answers at once."""
    factor = -(-slots // InstantModel.limits.max_clips)
    scheduler = Scheduler(Settings(queue_max_factor=factor, max_queue_wait_s=3600, max_queued_audio_s=1e9))
    await scheduler.start(lambda: InstantModel(Settings()))
    return scheduler


class Callers:
    """Callers that keep sending the requests of a load.

    Args:
        scheduler: gets the requests.
        asks: the requests.
        number: how many callers there are.
    """

    def __init__(self, scheduler: Scheduler, asks: Iterator[Ask], number: int) -> None:
        self._scheduler = scheduler
        self._asks = asks
        self._leaving: deque[asyncio.Task[None]] = deque()
        self._max_leaving = number // 4
        self._to_end = 0
        self._ended = asyncio.Event()
        self._tasks = [asyncio.create_task(self._send_repeatedly(f"key {each % KEYS}")) for each in range(number)]

    async def ended(self, number: int) -> None:
        """Wait until `number` more requests have ended."""
        self._to_end = number
        self._ended.clear()
        await self._ended.wait()

    async def stop(self) -> None:
        """Stop all callers."""
        tasks = [*self._tasks, *self._leaving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_repeatedly(self, key: str) -> None:
        for ask in self._asks:
            if not ask.leaves:
                await self._request(ask, key)
                continue
            self._leaving.append(asyncio.create_task(self._request(ask, key)))
            await asyncio.sleep(0)  # it joins the queue
            if len(self._leaving) > self._max_leaving:  # each has waited for a while
                leaving = self._leaving.popleft()
                leaving.cancel()
                await asyncio.wait([leaving])

    async def _request(self, ask: Ask, key: str) -> None:
        samples = SILENCE[: round(ask.seconds * SAMPLE_RATE)]
        try:
            if ask.is_step:
                await self._scheduler.advance(StreamStep(samples, 0, 12, 0), client=key)
            else:
                async with self._scheduler.admit(key) as admission:
                    await self._scheduler.transcribe(admission, samples, kind=ask.kind, priority=ask.priority)
        finally:
            self._to_end -= 1
            if self._to_end == 0:
                self._ended.set()


async def served(waiting: int, n: int, load: str, choice: Random) -> float:
    """Return the CPU seconds of `n` requests of a load while `waiting` others wait."""
    scheduler = await started(2 * waiting + 64)
    callers = Callers(scheduler, (LOADS[load](choice) for _ in count()), waiting + 2 * InstantModel.limits.max_clips)
    await callers.ended(waiting + 100)  # by then the queue is in its steady state
    gc.collect()
    before_s = time.process_time()
    await callers.ended(n)
    spent_s = time.process_time() - before_s
    await callers.stop()
    await scheduler.stop(0)
    return spent_s


async def rejected(waiting: int, n: int) -> float:
    """Return the CPU seconds of `n` requests that are rejected, as others hold all slots, `waiting` or more."""
    scheduler = await started(waiting)
    async with AsyncExitStack() as stack:
        with suppress(QueueFull):
            while True:
                admission = await stack.enter_async_context(scheduler.admit())
                admission.body_received()
        gc.collect()
        before_s = time.process_time()
        for _ in range(n):
            with suppress(QueueFull):
                async with scheduler.admit():
                    raise AssertionError("there is no slot")
        spent_s = time.process_time() - before_s
    await scheduler.stop(0)
    return spent_s


def table(costs: Sequence[Cost], options: argparse.Namespace) -> str:
    """Return costs as aligned columns, in CPU microseconds per request."""
    names = ["load", f"{options.few} wait, us", f"{options.many} wait, us", "ratio"]
    return columns(names, [[cost.load, cost.few_us, cost.many_us, cost.ratio] for cost in costs])


if __name__ == "__main__":
    freeze_gc()  # as the service does once its model is loaded
    sys.exit(main())
