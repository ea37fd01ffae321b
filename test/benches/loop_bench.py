"""How long one request can block others: probes of `/healthz` beside the most expensive requests.

python3 test/benches/loop_bench.py [--only WORDS] [--seconds S] [--rounds N]

The service runs in a process of its own, on a model that returns four words a second at once, so that only the
service's own work remains. It gets the requests of `costly.py` one after the other, each at the limit of what is
accepted, while another process requests `/healthz` all the time over one connection. A figure is the longest of those
answers, in the best of the rounds, because other programs can only add to it. The table is also saved as
`test/results/loop_bench.txt` and `.json`. The exit code is 1 if a probe took longer than 100 ms in every round.
"""

import argparse
import http.client
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import search_path
import client
import client_report
from columns import Cell, columns
from costly import COSTLY, LIVE, Costly, Post, Talk
from own_service import INSTANT_SERVICE, Server, serving
from websockets.sync.client import connect

EVERY_S = "0.25"
"""Seconds per word: fast speech has as many tokens."""
MAX_MS = 100.0
PERIOD_S = 0.005
"""Pause between two probes."""
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Figure:
    """The answer to an expensive request, how long it took, and the longest answer to a probe meanwhile."""

    name: str
    answer: str
    seconds: float
    probe_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    chosen = [each for each in COSTLY if options.only in each.name]
    settings = {
        "PARAKEET_MAX_AUDIO_SECONDS": str(max(10.0, options.seconds)),
        "PARAKEET_MAX_UPLOAD_MB": "256",
        "PARAKEET_REALTIME_PARTIALS": "0",
        "PARAKEET_MAX_QUEUE_WAIT_S": "60",
        "PARAKEET_HOST": "127.0.0.1",
    }
    with serving("tiny", [*INSTANT_SERVICE, "--every", EVERY_S], **settings) as server, probing(server.url) as probe:
        for each in (COSTLY[0], LIVE):  # warm-up: with this model the first session imports torch
            measure(each, 1.0, server, probe)
        figures = [
            least([measure(each, options.seconds, server, probe) for _ in range(options.rounds)]) for each in chosen
        ]
    text = table(figures)
    print(text, end="")
    client_report.save(options.results / "loop_bench.txt", text)
    saved = {"seconds": options.seconds, "figures": [asdict(each) for each in figures]}
    client_report.save(options.results / "loop_bench.json", json.dumps(saved, indent=2) + "\n")
    return 0 if all(each.probe_ms <= MAX_MS for each in figures) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure how long one request can keep everybody waiting.")
    parser.add_argument("--only", default="", metavar="WORDS", help="only requests with these words in their name")
    parser.add_argument(
        "--seconds", type=client.positive, default=10_800.0, help="audio that is allowed (default: %(default)g)"
    )
    parser.add_argument("--rounds", type=client.positive_int, default=2, help="(default: %(default)s)")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def measure(costly: Costly, seconds: float, server: Server, probe: "Probe") -> Figure:
    """Send one expensive request and return its figures."""
    request = costly.make(seconds)
    probe.longest_ms()  # drops what came before
    started_s = time.perf_counter()
    answer = post(server.url, request) if isinstance(request, Post) else talk(server.url, request)
    took_s = time.perf_counter() - started_s
    figure = Figure(costly.name, answer, took_s, probe.longest_ms())
    print(f"{figure.name}: {figure.answer} in {took_s:.2f} s, {figure.probe_ms:.0f} ms", file=sys.stderr)
    return figure


def least(figures: Sequence[Figure]) -> Figure:
    """Return the round with the shortest probe."""
    return min(figures, key=lambda each: each.probe_ms)


def post(url: str, request: Post) -> str:
    """Send a request over HTTP and return the status and the error's code of its answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    try:
        connection.request("POST", request.path + request.query, request.body, {"content-type": request.content_type})
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()
    return str(response.status) if response.status < 400 else f"{response.status} {json.loads(body)['error']['code']}"


def talk(url: str, request: Talk) -> str:
    """Hold a session and return the type of the event that it ended with."""
    address = f"ws{url.removeprefix('http')}/v1/realtime?intent=transcription"
    with connect(address, max_size=None, open_timeout=PATIENCE_S) as session:
        session.socket.sendall(request.frames)
        for message in request.messages:
            session.send(message)
        left = request.times
        while left:
            kind: str = json.loads(session.recv(timeout=PATIENCE_S))["type"]
            left -= kind == request.until
            if kind == "error" != request.until:
                return kind
    return kind


# -- probes ------------------------------------------------------------------------------------------------------------


class Probe:
    """A process that requests `/healthz` all the time; made by `probing`."""

    def __init__(self, orders: Connection) -> None:
        self._orders = orders

    def longest_ms(self) -> float:
        """Return the longest answer time since the last call.

        Raises:
            client.Failure: a probe got no answer, or an error.
        """
        self._orders.send(True)
        longest_ms: float | str = self._orders.recv()
        if isinstance(longest_ms, str):
            raise client.Failure(f"/healthz: {longest_ms}")
        return longest_ms


@contextmanager
def probing(url: str) -> Iterator[Probe]:
    """Probe the service at `url` until the block ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_probe, args=(url, theirs))
    process.start()
    try:
        yield Probe(ours)
    finally:
        process.terminate()
        process.join()


def _probe(url: str, orders: Connection) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    longest_s = 0.0
    while True:
        started_s = time.perf_counter()
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            response.read()
            wrong = "" if response.status == 200 else f"{response.status}"
        except OSError as error:
            wrong = str(error)
        longest_s = max(longest_s, time.perf_counter() - started_s)
        if orders.poll(PERIOD_S):
            orders.recv()
            orders.send(wrong or longest_s * 1000)
            longest_s = 0.0


def table(figures: Sequence[Figure]) -> str:
    """Return figures as aligned columns."""
    lines: list[list[Cell]] = [[each.name, each.answer, each.seconds, each.probe_ms] for each in figures]
    return columns(["request", "answer", "took s", "longest /healthz ms"], lines)


if __name__ == "__main__":
    sys.exit(client.run(main))
