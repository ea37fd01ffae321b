"""The cost of Ray Serve: the plain service, Ray's own proxy, and Ray with HAProxy, with one and two replicas.

ip netns exec NAMESPACE python3 test/benches/fleet_bench.py [--model tiny|instant] [--n N] [--rounds N] [--threads N]

Needs what `bash scripts/fleet.sh --setup` installs. To be run in a network namespace that has `lo` only, as Ray listens
on every interface: `ip netns add fleet; ip -n fleet link set lo up`. All are started with the same OMP_NUM_THREADS. The
plain service is up beside one fleet after the other, and is measured right before it; a figure is the median of the
rounds. CPU time is that of all processes of a service, Ray's and HAProxy's among them, by /proc. Below the table is how
each answers what may go wrong, and what is lost when replicas and clients go (`fleet_faults.py`; two replicas, a model
that answers at once). The tables are also saved as `test/results/fleet_bench.txt` and `.json`.
"""

import argparse
import asyncio
import json
import re
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import search_path
import client
import client_report
from bench_model import INSTANT
from columns import columns
from fleet_faults import LIMIT, Faulty, faults
from fleet_process import PROGRAM, TINY, Fleet, fleet_of
from keys import KEYS
from own_service import cpu_s, service_of, serving
from ports import reserved_port
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from src.fleet.processes import fleet_processes

CONCURRENCIES = (1, 8, 16)
MESSAGES = 400
IDLE_S = 5.0
FLEETS = {"Ray's proxy": "0", "HAProxy": "1"}
"""Kinds of fleets, by RAY_SERVE_ENABLE_HA_PROXY."""
MIB = 2**20


@dataclass(frozen=True)
class Target:
    """A service that is measured: its name, its address, and the processes that it consists of."""

    name: str
    port: int
    processes: Callable[[], Sequence[int]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        return sum(map(cpu_s, self.processes()))


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds for each request (or message) of a load, and how many there were in a second."""

    service: str
    load: str
    cpu_ms: float
    per_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    costs: list[Cost] = []
    probes: dict[str, dict[str, str]] = {}
    for replicas in (1, 2):
        for kind, haproxy in FLEETS.items():
            with plain(options) as one, fleet(options, f"{kind}, {replicas}", replicas, haproxy) as other:
                for target in (one, other):
                    costs += measured(options, target)
                    kind_of_service = target.name.partition(",")[0]
                    if kind_of_service not in probes:
                        probes[kind_of_service] = behaviour(target)
                    print(f"{target.name} done", file=sys.stderr)
    print(table(costs), file=sys.stderr)  # what follows may fail
    lost = {}
    for name, service in faulty_services():
        lost[name] = faults(service)
        print(f"{name}: {lost[name]}", file=sys.stderr)
    text = table(costs) + "\n" + probe_table(probes) + "\n" + probe_table(lost)
    print(text, end="")
    client_report.save(options.results / "fleet_bench.txt", text)
    figures = {"costs": [asdict(cost) for cost in costs], "behaviour": probes, "faults": lost}
    client_report.save(options.results / "fleet_bench.json", json.dumps(figures, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure the service under Ray Serve beside the plain service.")
    parser.add_argument("--model", choices=("tiny", "instant"), default="tiny", help="(default: %(default)s)")
    parser.add_argument("--n", type=client.positive_int, default=200, help="requests of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=client.positive_int, default=3, help="(default: %(default)s)")
    parser.add_argument("--threads", type=client.positive_int, default=1, help="OMP_NUM_THREADS (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


@contextmanager
def plain(options: argparse.Namespace) -> Iterator[Target]:
    """Run the service in a process of its own."""
    settings = {"PARAKEET_MAX_QUEUE_WAIT_S": "60", "OMP_NUM_THREADS": str(options.threads)}
    with serving("tiny", service_of(options.model), **settings) as server:
        yield Target("plain", int(server.url.rpartition(":")[2]), lambda: [server.pid])


@contextmanager
def fleet(options: argparse.Namespace, name: str, replicas: int, haproxy: str) -> Iterator[Target]:
    """Run the service in a fleet."""
    settings = {
        "PARAKEET_REPLICAS": str(replicas),
        "PARAKEET_MAX_QUEUE_WAIT_S": "60",
        "OMP_NUM_THREADS": str(options.threads),
        "RAY_SERVE_ENABLE_HA_PROXY": haproxy,
    }
    program = TINY if options.model == "tiny" else PROGRAM
    with fleet_on_a_free_port(program, **settings) as running:
        mark = running.folder
        yield Target(name, running.port, lambda: [running.process.pid, *fleet_processes(mark)])


@contextmanager
def fleet_on_a_free_port(program: str, **settings: str) -> Iterator[Fleet]:
    """Run a fleet until the block ends; it is ready."""
    with (
        TemporaryDirectory() as folder,
        reserved_port() as port,
        fleet_of(Path(folder), port, program, **settings) as running,
    ):
        running.printed("Ctrl-C stops it")
        yield running


def faulty_services() -> Iterator[tuple[str, Faulty]]:
    """Yield each kind of service, with keys, and its name; it ends when the next is asked for."""
    settings = {
        "PARAKEET_API_KEYS": ",".join(KEYS),
        "PARAKEET_MAX_CONCURRENT_PER_KEY": str(LIMIT),
        "PARAKEET_MAX_QUEUE_WAIT_S": "60",
    }
    with serving("tiny", service_of(INSTANT), **settings) as server:
        yield "plain", Faulty(int(server.url.rpartition(":")[2]), server.metrics, None)
    for kind, haproxy in FLEETS.items():
        of_fleet = {"PARAKEET_REPLICAS": "2", "RAY_SERVE_ENABLE_HA_PROXY": haproxy}
        with fleet_on_a_free_port(PROGRAM, **settings, **of_fleet) as running:
            yield f"{kind}, 2", Faulty(running.port, running.metrics, running)


def measured(options: argparse.Namespace, target: Target) -> list[Cost]:
    """Return the median costs of uploads at each concurrency, of messages of a session, and of doing nothing."""
    found = [asyncio.run(uploads(options, target, each)) for each in CONCURRENCIES]
    return [*found, messages(options, target), idle(target)]


async def uploads(options: argparse.Namespace, target: Target, concurrency: int) -> Cost:
    """Send clips `concurrency` at a time.

    Raises:
        client.Failure: a request returned no text.
    """
    upload = client.prepare(client.CLIPS / "piper-joe-1.flac", argparse.Namespace(ws=False, raw=False, pcm=False))
    rounds = []
    sender = argparse.Namespace(url=target.url, key=None, ws=False, timeout=120.0)
    async with client.open_sender(sender) as send:
        await client.keep_busy(send, repeat(upload, 32), concurrency, client.Tally())
        for _ in range(options.rounds):
            tally, before_s, started_s = client.Tally(), target.cpu_s(), time.perf_counter()
            await client.keep_busy(send, repeat(upload, options.n), concurrency, tally)
            if tally.errors:
                raise client.Failure(next(answer.message for answer in tally.answers if not answer.ok))
            rounds.append((target.cpu_s() - before_s, time.perf_counter() - started_s))
    return median(target, f"{concurrency} at a time", options.n, rounds)


def messages(options: argparse.Namespace, target: Target) -> Cost:
    """Send messages that the service answers at once, one after the other, over one WebSocket."""
    rounds = []
    with connect(f"ws://127.0.0.1:{target.port}/v1/realtime") as ws:
        ws.recv()
        for _ in range(options.rounds):
            before_s, started_s = target.cpu_s(), time.perf_counter()
            for _ in range(MESSAGES):
                ws.send('{"type": "input_audio_buffer.clear"}')
                ws.recv()
            rounds.append((target.cpu_s() - before_s, time.perf_counter() - started_s))
    return median(target, "messages", MESSAGES, rounds)


def idle(target: Target) -> Cost:
    """Do nothing; the cost is CPU milliseconds for each second."""
    before_s = target.cpu_s()
    time.sleep(IDLE_S)
    return Cost(target.name, "idle", (target.cpu_s() - before_s) * 1000 / IDLE_S, 0.0)


def median(target: Target, load: str, n: int, rounds: Sequence[tuple[float, float]]) -> Cost:
    """Return the median of rounds of `n`, each with its CPU time and its duration in seconds."""
    cpu_ms = statistics.median(spent_s for spent_s, _ in rounds) * 1000 / n
    return Cost(target.name, load, cpu_ms, n / statistics.median(took_s for _, took_s in rounds))


def behaviour(target: Target) -> dict[str, str]:
    """Return how a service answers what may go wrong."""
    return {
        "message of 17 MiB": long_message(target),
        "slow head": answer_to(target, b"GET /healthz HTTP/1.1\r\nhost: a\r\n", 40),
        "head of 200 kB": answer_to(
            target, b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: " + b"a" * 200_000 + b"\r\n\r\n", 20
        ),
        "x-request-id": request_ids(target),
    }


def long_message(target: Target) -> str:
    """Return how a WebSocket message of 17 MiB is taken."""
    with connect(f"ws://127.0.0.1:{target.port}/v1/realtime", max_size=None) as ws:
        ws.recv()
        try:
            ws.send(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 17 * MIB}))
            return str(json.loads(ws.recv(timeout=60))["type"])
        except ConnectionClosed as closed:
            return f"closed with {closed.rcvd.code if closed.rcvd else 1006}"
        except TimeoutError:
            return "taken"


def answer_to(target: Target, sent: bytes, within_s: float) -> str:
    """Return the status of the answer to raw bytes, or that there was none in time."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=within_s) as connection:
        try:
            connection.sendall(sent)
            first = connection.recv(4096).split(b"\r\n")[0].decode()
        except TimeoutError:
            return f"open after {within_s:g} s"
        except OSError:
            return "reset"
    status = re.match(r"HTTP/1.1 (\d+)", first)
    return status[1] if status else "closed"


def request_ids(target: Target) -> str:
    """Return how often an answer has `x-request-id`."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        head = connection.makefile("rb").read().partition(b"\r\n\r\n")[0].lower()
    return f"{head.count(b'x-request-id:')} times"


def table(costs: Sequence[Cost]) -> str:
    """Return costs as aligned columns."""
    return columns(
        ["service", "load", "CPU ms", "per s"], [[each.service, each.load, each.cpu_ms, each.per_s] for each in costs]
    )


def probe_table(probes: dict[str, dict[str, str]]) -> str:
    """Return the behaviours as aligned columns, a line for each question and a column for each service."""
    questions = list(dict.fromkeys(question for found in probes.values() for question in found))
    rows = [[question, *(found.get(question, "-") for found in probes.values())] for question in questions]
    return columns(["", *probes], rows)


if __name__ == "__main__":
    sys.exit(client.run(main))
