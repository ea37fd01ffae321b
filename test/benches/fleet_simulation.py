"""A fleet of replicas under made-up traffic, with several ways to choose between them.

python3 test/benches/fleet_simulation.py [--replicas N ...] [--seconds S] [--seed N] [--results DIR]

Replicas have the service's queue with its limits, and a model of 6,000 seconds of audio per second that only takes time
(`fleet_replica.py`). Uploads come in bursts, at `LOAD` of what all models together can take; sessions take a share of
the models. Nothing here depends on the speed of this machine: a seed gives the same table everywhere. The table is also
saved as `test/results/fleet_simulation.txt` and `.json`.
"""

import argparse
import heapq
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import search_path
import client
import client_report
from columns import Cell, columns
from fleet_replica import SPEED, File, Replica
from fleet_routers import REPORT_S, ROUTERS, Router
from fleet_traffic import MEAN_S, SESSION_S, Arrival, arrivals

from src.fleet.load_board import Sent

LOAD = 0.6
SESSIONS = 100
"""Sessions of each replica when the simulation begins."""
SESSIONS_PER_S = 100 / 1800
"""New sessions of each replica in a second: as many as end, if they last half an hour."""
SLOW = 1 / 3
"""Speed of the slow replica, as a share of that of others."""
SECONDS = 15.0


@dataclass(frozen=True)
class Case:
    """A fleet and its start."""

    name: str
    speeds: Sequence[float]
    sessions: Sequence[int]
    """Sessions of each replica at the start."""
    sessions_per_s: float = SESSIONS_PER_S
    """Sessions that come, for each replica."""
    load: float = LOAD
    """Share of all models' time that uploads would take in full batches without padding."""


@dataclass(frozen=True)
class Result:
    """What became of the uploads of one fleet with one router."""

    replicas: int
    case: str
    router: str
    uploads: int
    p50_s: float
    p95_s: float
    """Wait of the first clip for the model, of those served."""
    full: float
    """Share with 429."""
    late: float
    """Share with 503, as they waited for two seconds."""
    shares: list[float]
    """Share of the uploads that each replica got."""
    session_shares: list[float]
    """The same of the sessions that came; nothing if none came."""


class Simulation:
    """Runs one fleet."""

    def __init__(self, case: Case, router: type[Router], seed: int) -> None:
        self.replicas = [Replica(speed, sessions) for speed, sessions in zip(case.speeds, case.sessions, strict=True)]
        self.router = router(self.replicas, Random(seed))
        self.now = 0.0
        self.sent: dict[bool, list[int]] = {is_session: [0] * len(self.replicas) for is_session in (False, True)}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        for number in range(len(self.replicas)):
            self._after(REPORT_S * number / len(self.replicas), partial(self._report, number))
        choice = Random(seed)
        for replica in self.replicas:
            for _ in range(replica.sessions):
                self._after(choice.uniform(0, SESSION_S[1]), partial(self._leave, replica))

    def run(self, traffic: Iterator[Arrival], until: float) -> None:
        """Run until some time."""
        self._next(traffic)
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def _next(self, traffic: Iterator[Arrival]) -> None:
        if arrival := next(traffic, None):
            self._after(arrival.at - self.now, partial(self._arrive, arrival, traffic))

    def _arrive(self, arrival: Arrival, traffic: Iterator[Arrival]) -> None:
        self._next(traffic)
        number = self.router.choose(arrival.is_session, self.now)
        replica = self.replicas[number]
        self.sent[arrival.is_session][number] += 1
        sent = self.router.begin(number, arrival.is_session, self.now)
        if arrival.is_session:
            replica.sessions += 1
            self._after(arrival.lasts_s, partial(self._leave, replica, sent))
            return
        file = replica.admit(arrival.lasts_s, partial(self.router.end, sent))
        if file:
            self._after(arrival.uploading_s, partial(self._uploaded, replica, file))

    def _leave(self, replica: Replica, sent: Sent[int] | None = None) -> None:
        replica.sessions -= 1
        if sent:
            self.router.end(sent)

    def _uploaded(self, replica: Replica, file: File) -> None:
        replica.add_clips(file, self.now)
        self._begin_batch(replica)

    def _begin_batch(self, replica: Replica) -> None:
        if replica.is_idle and (took_s := replica.begin_batch(self.now)) is not None:
            self._after(took_s, partial(self._end_batch, replica))

    def _end_batch(self, replica: Replica) -> None:
        replica.end_batch(self.now)
        self._begin_batch(replica)

    def _report(self, number: int) -> None:
        self.router.board.report(number, self.replicas[number].load, self.now)
        self._after(REPORT_S, partial(self._report, number))


def simulate(case: Case, router: str, seconds: float, seed: int) -> Result:
    """Return what becomes of the uploads of a fleet."""
    replicas = len(case.speeds)
    simulation = Simulation(case, ROUTERS[router], seed)
    uploads_per_s = case.load * sum(case.speeds) / MEAN_S
    simulation.run(arrivals(uploads_per_s, case.sessions_per_s * replicas, seconds, seed), seconds)
    waits = sorted(wait for each in simulation.replicas for wait in each.waits_s)
    uploads = sum(simulation.sent[False])
    return Result(
        replicas,
        case.name,
        router,
        uploads,
        waits[len(waits) // 2],
        waits[int(len(waits) * 0.95)],
        sum(each.full for each in simulation.replicas) / uploads,
        sum(each.late for each in simulation.replicas) / uploads,
        _shares(simulation.sent[False]),
        _shares(simulation.sent[True]),
    )


def _shares(numbers: Sequence[int]) -> list[float]:
    return [number / sum(numbers) for number in numbers] if any(numbers) else []


def cases(replicas: int) -> list[Case]:
    """Return the fleets of one size: one replica is slow; one is new, so that it has no sessions."""
    alike, even = [SPEED] * replicas, [SESSIONS] * replicas
    return [Case("one slow", [SLOW * SPEED, *alike[1:]], even), Case("one new", alike, [0, *even[1:]])]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Compare ways to choose between replicas.")
    parser.add_argument("--replicas", type=client.positive_int, nargs="+", default=[2, 8, 64])
    parser.add_argument("--seconds", type=client.positive, default=SECONDS, help="simulated (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def table(results: Sequence[Result]) -> str:
    """Return results as aligned columns."""
    names = ["replicas", "fleet", "router", "p50 ms", "p95 ms", "429 %", "503 %", "first's share"]
    return columns(names, [_line(each) for each in results])


def _line(result: Result) -> list[Cell]:
    name: list[Cell] = [str(result.replicas), result.case, result.router]
    return [
        *name,
        result.p50_s * 1e3,
        result.p95_s * 1e3,
        result.full * 100,
        result.late * 100,
        result.shares[0] * result.replicas,
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments(argv)
    results = [
        simulate(case, router, options.seconds, options.seed)
        for replicas in options.replicas
        for case in cases(replicas)
        for router in ROUTERS
    ]
    text = table(results)
    print(text, end="")
    client_report.save(options.results / "fleet_simulation.txt", text)
    client_report.save(options.results / "fleet_simulation.json", json.dumps([*map(asdict, results)], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
