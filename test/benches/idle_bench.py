"""Whether idle connections and slow uploads delay others: the same requests, in turns without and with them.

python3 test/benches/idle_bench.py [--idle N] [--half N] [--slow N] [--n N] [--rounds N] [--concurrency N]
                                   [--model MODEL]

One service runs in a process of its own. Every round sends it the bundled clips of speech over HTTP, first alone, then
beside a crowd: connections that send nothing, that have sent half a header, and that upload a few hundred bytes a
second. Those that the service closes reconnect at once. The latencies of all rounds are pooled. The table is also saved
as `test/results/idle_bench.txt` and `.json`. The exit code is 1 if the crowd raised the p95 by more than half, or if a
request returned no text.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import search_path
import client
import client_report
from bench_model import add_model_argument
from columns import columns
from crowd import Crowd
from own_service import Server, serving
from serve_bench import spoken_clips

ALONE, BESIDE = "alone", "beside the crowd"
P95_RATIO = 1.5
"""How much the crowd may raise the p95."""


@dataclass(frozen=True)
class CrowdFigures:
    """The latencies of one way over all rounds, in seconds; None if no request returned a text."""

    way: str
    requests: int
    without_text: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    how = argparse.Namespace(ws=False, raw=False, pcm=True)
    uploads = [client.prepare(path, how) for path in spoken_clips()]
    with serving(options.model, PARAKEET_MAX_QUEUE_WAIT_S="60") as server:
        crowd = Crowd(
            server,
            silent=options.idle - options.half,
            half=options.half,
            slow=options.slow,
            content=uploads[0].body,
            bytes_per_s=options.bytes_per_s,
        )
        figures = asyncio.run(compare(options, uploads, server, crowd))
    ratios = raised(*figures)
    text = table(figures, ratios) + client_report.table(crowd_rows(options, crowd))
    print(text, end="")
    client_report.save(options.results / "idle_bench.txt", text)
    saved = {"model": options.model, "figures": [asdict(each) for each in figures], "ratios": ratios}
    saved |= {"fewest_connections": crowd.min_held, "ended_by_the_service": crowd.ended}
    client_report.save(options.results / "idle_bench.json", json.dumps(saved, indent=2) + "\n")
    return 0 if passed(figures, ratios) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure whether idle and slow connections make others wait.")
    count = client.positive_int
    parser.add_argument("--idle", type=count, default=500, metavar="N", help="idle connections (default: %(default)s)")
    parser.add_argument(
        "--half", type=count, default=100, metavar="N", help="of them with half a header (default: 100)"
    )
    parser.add_argument("--slow", type=count, default=20, metavar="N", help="slow uploads (default: %(default)s)")
    parser.add_argument("--bytes-per-s", type=count, default=300, metavar="N", help="of a slow upload (default: 300)")
    parser.add_argument("--n", type=count, default=200, help="requests of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=count, default=4, help="of each way (default: %(default)s)")
    parser.add_argument("--concurrency", type=count, default=4, metavar="N", help="(default: %(default)s)")
    add_model_argument(parser)
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    if options.half > options.idle:
        parser.error("--half is a part of --idle")
    return options


async def compare(
    options: argparse.Namespace, uploads: Sequence[client.Upload], server: Server, crowd: Crowd
) -> list[CrowdFigures]:
    """Return the figures without and with the crowd, measured in turns."""
    alone, beside = client.Tally(), client.Tally()
    how = argparse.Namespace(url=server.url, key=None, ws=False, timeout=600.0)
    async with client.open_sender(how) as send:

        async def requests(tally: client.Tally) -> None:
            await client.keep_busy(send, islice(cycle(uploads), options.n), options.concurrency, tally)

        await requests(client.Tally())  # to warm up
        for number in range(options.rounds):
            await requests(alone)
            async with crowd.present():
                await requests(beside)
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    return [figures_of(ALONE, alone.answers), figures_of(BESIDE, beside.answers)]


def figures_of(way: str, answers: Sequence[client.Answer]) -> CrowdFigures:
    """Return the figures of one way."""
    without_text = sum(not answer.ok for answer in answers)
    return CrowdFigures(way, len(answers), without_text, *client_report.latency_percentiles_s(answers))


def raised(alone: CrowdFigures, beside: CrowdFigures) -> dict[str, float | None]:
    """Return the factor by which the crowd raised latencies, by percentile."""
    return {
        "p50": client_report.ratio(beside.p50_s, alone.p50_s),
        "p95": client_report.ratio(beside.p95_s, alone.p95_s),
        "p99": client_report.ratio(beside.p99_s, alone.p99_s),
    }


def passed(figures: Sequence[CrowdFigures], ratios: dict[str, float | None]) -> bool:
    """Whether every request returned a text and the p95 rose by no more than allowed."""
    p95 = ratios["p95"]
    return p95 is not None and p95 <= P95_RATIO and not any(each.without_text for each in figures)


def table(figures: Sequence[CrowdFigures], ratios: dict[str, float | None]) -> str:
    """Return the figures as aligned columns, times in milliseconds, and the ratios below them."""
    lines = []
    for each in figures:
        times_ms = [None if value is None else value * 1000 for value in (each.p50_s, each.p95_s, each.p99_s)]
        lines.append([each.way, each.requests, each.without_text, *times_ms])
    lines.append(["ratio", None, None, *ratios.values()])
    return columns(["requests", "sent", "without text", "p50 ms", "p95 ms", "p99 ms"], lines)


def crowd_rows(options: argparse.Namespace, crowd: Crowd) -> list[client_report.Row]:
    """Return the table rows that describe the crowd and how its connections ended."""
    silent = options.idle - options.half
    who = f"{silent} silent, {options.half} with half a header, {options.slow} uploads of {options.bytes_per_s} bytes/s"
    ended = ", ".join(f"{kind} x {count}" for kind, count in sorted(crowd.ended.items()))
    return [("crowd", f"{who}; {crowd.min_held} or more there"), ("closed", ended or "none by the service")]


if __name__ == "__main__":
    sys.exit(client.run(main))
