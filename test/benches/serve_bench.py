"""The service beside a naive server and beside itself without batches: the same requests over HTTP, by turns.

python3 test/benches/serve_bench.py [--model MODEL] [--concurrency N ...] [--n N] [--rounds N] [--file FILE ...]
    [--overload S]

Three servers of the same checkpoint run in processes of their own: `naive_server.py` (one lock, `transcribe()` for each
request), the service, and the service with PARAKEET_MICROBATCH_MAX_BATCH=1. They get the same PCM16 wav files in
multipart forms over kept connections, one server after the other in short rounds; those that wait cost nothing. Then
the naive server and the service get requests at a fixed rate above what the service can do, where it may refuse them.

Every text is compared with that of `transcribe()`, which is the naive server's for the same file alone. CPU time is the
server's own, by /proc; the load client is on the same machine and takes its share of it. The table goes to
`test/results/serve_bench.txt` and `.json` too.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

import search_path
import bench
import client
import client_report
import tpm
from bench_model import add_model_argument
from columns import columns
from own_service import OUR_SERVICE, Server, cpu_s, serving

NAIVE, OURS, UNBATCHED = "naive", "service", "service, batches of 1"
NAIVE_PROGRAM = (str(Path(__file__).with_name("naive_server.py")),)
ALONE = {"PARAKEET_MICROBATCH_MAX_BATCH": "1"}
PATIENT = {"PARAKEET_MAX_QUEUE_WAIT_S": "60"}
"""In a closed loop nobody is refused, so that all servers do the same work."""
OVERLOAD = "overload"
BEYOND = 1.5
"""How much more than the service can do an overload asks for."""
LOG_WAIT_S = 5.0


@dataclass(frozen=True)
class Contestant:
    """A server in the comparison, and what sends to it."""

    name: str
    server: Server
    send: client.Send


@dataclass
class Round:
    """What one server was given and gave back, in one round or in several together."""

    answers: list[client.Answer] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    batch_sizes: list[int] = field(default_factory=list)

    def add(self, other: "Round") -> None:
        """Take in another round of the same server."""
        self.answers += other.answers
        self.wall_s += other.wall_s
        self.cpu_s += other.cpu_s
        self.batch_sizes += other.batch_sizes


@dataclass(frozen=True)
class Figures:
    """What a server came to under one load; None where there is nothing to tell."""

    load: str
    server: str
    requests_per_s: float
    audio_s_per_s: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    mean_batch: float | None
    cpu_ms: float
    """Of the server's process, for each answered request."""
    refused: int
    other_texts: int
    """Texts that are not those of `transcribe()`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    how = argparse.Namespace(ws=False, raw=False, pcm=True)
    uploads = [client.prepare(path, how) for path in options.file or spoken_clips()]
    figures = asyncio.run(compare(options, uploads))
    text = table(figures) + "\n" + ratios(figures)
    print(text, end="")
    client_report.save(options.results / "serve_bench.txt", text)
    saved = {"model": options.model, "figures": [asdict(each) for each in figures]}
    client_report.save(options.results / "serve_bench.json", json.dumps(saved, indent=2) + "\n")
    return 1 if any(each.other_texts for each in figures) else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Compare the service with a naive server and with itself unbatched.")
    add_model_argument(parser)
    parser.add_argument("--concurrency", type=client.positive_int, nargs="+", default=[1, 4, 16, 32], metavar="N")
    parser.add_argument("--n", type=client.positive_int, default=96, help="requests of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=client.positive_int, default=3, help="(default: %(default)s)")
    parser.add_argument("--file", type=Path, nargs="+", help="audio files (default: the bundled clips of speech)")
    parser.add_argument(
        "--overload", type=float, default=10.0, metavar="S", help="seconds of overload, 0 for none (default: 10)"
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def spoken_clips() -> list[Path]:
    """Return the short bundled clips in which somebody speaks: of noise, the service says less than the model does."""
    return [path for path in client.short_clips() if not path.name.startswith(("noise", "silence"))]


async def compare(options: argparse.Namespace, uploads: Sequence[client.Upload]) -> list[Figures]:
    """Return the figures of each server under each load."""
    async with contestants(options.model, {NAIVE: {}, OURS: PATIENT, UNBATCHED: PATIENT | ALONE}) as rivals:
        expected = await bench.texts_alone(rivals[0].send, uploads)
        await warm_up(rivals, uploads)
        figures = await closed_loops(options, rivals, uploads, expected)
    if options.overload:
        rate = BEYOND * max(each.requests_per_s for each in figures if each.server == OURS)
        async with contestants(options.model, {NAIVE: {}, OURS: {}}) as rivals:
            await warm_up(rivals, uploads)
            figures += await overloads(options, rivals, uploads, expected, rate)
    return figures


@asynccontextmanager
async def contestants(model: str, settings: dict[str, dict[str, str]]) -> AsyncIterator[list[Contestant]]:
    """Run servers, named with the settings of each."""
    async with AsyncExitStack() as stack:
        rivals = []
        for name, environment in settings.items():
            program = NAIVE_PROGRAM if name == NAIVE else OUR_SERVICE
            server = stack.enter_context(serving(model, program, **environment))
            how = argparse.Namespace(url=server.url, key=None, ws=False, timeout=600.0)
            rivals.append(Contestant(name, server, await stack.enter_async_context(client.open_sender(how))))
        yield rivals


async def warm_up(rivals: Sequence[Contestant], uploads: Sequence[client.Upload]) -> None:
    """Send everything once to each server before it is timed."""
    for rival in rivals:
        await closed_loop(rival, uploads, 4, len(uploads))


async def closed_loops(
    options: argparse.Namespace,
    rivals: Sequence[Contestant],
    uploads: Sequence[client.Upload],
    expected: dict[str, str],
) -> list[Figures]:
    """Return the figures of each server at each concurrency, by turns."""
    figures = []
    for concurrency in options.concurrency:
        totals = {rival.name: Round() for rival in rivals}
        for _ in range(options.rounds):
            for rival in rivals:
                totals[rival.name].add(await closed_loop(rival, uploads, concurrency, options.n))
        figures += [figures_of(f"{concurrency} at once", name, total, expected) for name, total in totals.items()]
        print(f"{concurrency} at once: done", file=sys.stderr)
    return figures


async def closed_loop(rival: Contestant, uploads: Sequence[client.Upload], concurrency: int, n: int) -> Round:
    """Send `n` of `uploads` in turn, so many at a time."""
    tally = client.Tally()
    return await measured(rival, tally, client.keep_busy(rival.send, islice(cycle(uploads), n), concurrency, tally))


async def overloads(
    options: argparse.Namespace,
    rivals: Sequence[Contestant],
    uploads: Sequence[client.Upload],
    expected: dict[str, str],
    rate: float,
) -> list[Figures]:
    """Return the figures of each server where requests come at `rate` per second, whether answered or not."""
    figures = []
    for rival in rivals:
        tally = client.Tally()
        total = await measured(rival, tally, open_loop(rival, uploads, rate, options.overload, tally))
        figures.append(figures_of(f"{OVERLOAD}, {rate:.0f}/s", rival.name, total, expected))
        print(f"{OVERLOAD} of {rival.name}: done", file=sys.stderr)
    return figures


async def open_loop(
    rival: Contestant, uploads: Sequence[client.Upload], rate: float, seconds: float, tally: client.Tally
) -> None:
    """Send `uploads` in turn at `rate` per second, and return when all are answered."""
    started_s = time.perf_counter()
    dues_s = [started_s + number / rate for number in range(round(rate * seconds))]
    await tpm.keep_schedule(rival.send, dues_s, cycle(uploads), tally)


async def measured(rival: Contestant, tally: client.Tally, load: Awaitable[object]) -> Round:
    """Await `load`, which fills `tally`, and return it with what it cost the server."""
    loop = asyncio.get_running_loop()
    lines_before = len(metrics_lines(rival.server.metrics))
    before_s, started_s = cpu_s(rival.server.pid), loop.time()
    await load
    wall_s, spent_s = loop.time() - started_s, cpu_s(rival.server.pid) - before_s
    sizes = [] if rival.name == NAIVE else await batch_sizes(rival, lines_before, len(tally.answers))
    return Round(tally.answers, wall_s, spent_s, sizes)


async def batch_sizes(rival: Contestant, skip: int, count: int) -> list[int]:
    """Return the batch size of each request that the metrics log tells of after `skip` lines, once it has `count`.

    Raises:
        client.Failure: it does not come to have as many.
    """
    for _ in range(round(LOG_WAIT_S / 0.05)):
        lines = metrics_lines(rival.server.metrics)[skip:]
        if len(lines) >= count:
            return [size for line in lines if (size := json.loads(line)["batch_size"]) is not None]
        await asyncio.sleep(0.05)
    raise client.Failure(f"{rival.name} has written {len(lines)} of {count} lines to its metrics log")


def metrics_lines(path: Path) -> list[str]:
    """Return the whole lines of a metrics log; none where there is no log."""
    return path.read_text().split("\n")[:-1] if path.exists() else []


def figures_of(load: str, server: str, total: Round, expected: dict[str, str]) -> Figures:
    """Return the figures of a server's rounds under one load."""
    summary = client_report.summarise(total.answers, started_s=0.0, window_s=float("inf"))
    good = [answer for answer in total.answers if answer.ok]
    sizes = total.batch_sizes
    return Figures(
        load,
        server,
        requests_per_s=len(good) / total.wall_s,
        audio_s_per_s=sum(answer.audio_len_s for answer in good) / total.wall_s,
        p50_s=summary.latency_s["p50"],
        p95_s=summary.latency_s["p95"],
        p99_s=summary.latency_s["p99"],
        # Each request tells of its batch, so that the mean over batches is the harmonic one.
        mean_batch=len(sizes) / sum(1 / size for size in sizes) if sizes else None,
        cpu_ms=total.cpu_s * 1000 / max(1, len(good)),
        refused=len(total.answers) - len(good),
        other_texts=sum(answer.text != expected[answer.file] for answer in good),
    )


def table(figures: Sequence[Figures]) -> str:
    """Return figures as aligned columns; times in milliseconds."""
    names = ["load", "server", "req/s", "audio s/s", "p50 ms", "p95 ms", "p99 ms", "batch", "CPU ms/req"]
    lines = []
    for each in figures:
        spread_ms = [None if value is None else value * 1000 for value in (each.p50_s, each.p95_s, each.p99_s)]
        speed = [each.requests_per_s, each.audio_s_per_s]
        counts = [each.refused, each.other_texts]
        lines.append([each.load, each.server, *speed, *spread_ms, each.mean_batch, each.cpu_ms, *counts])
    return columns([*names, "refused", "other texts"], lines)


def ratios(figures: Sequence[Figures]) -> str:
    """Return the service over each other server, under each load; above 1 is more requests, or a shorter wait."""
    lines = []
    for ours in (each for each in figures if each.server == OURS):
        for other in (each for each in figures if each.load == ours.load and each.server != OURS):
            speed = client_report.ratio(ours.requests_per_s, other.requests_per_s)
            waits = [client_report.ratio(other.p50_s, ours.p50_s), client_report.ratio(other.p95_s, ours.p95_s)]
            lines.append([ours.load, other.server, speed, *waits])
    return columns(["load", "service over", "req/s", "p50", "p95"], lines)


if __name__ == "__main__":
    sys.exit(client.run(main))
