"""Keep the server under load for a while and print how many transactions per minute it answered.

python3 test/tpm.py [--concurrency N | --rate R] [--duration S] [--file FILE ...] [--raw] [--no-pcm] [--url URL]
python3 test/tpm.py --ws [--realtime] [--concurrency N | --rate R] [--duration S] [--file FILE ...] [--url URL]

With `--concurrency` each of N workers sends its next request when it has its answer. A 429 is retried after its
`Retry-After` and counted separately; with `--no-retry` it is an error. With `--rate`, R requests per second are sent on
a fixed schedule, whether or not earlier ones are answered, and nothing is retried: this shows the effect of overload.
With `--ws` each transaction is a WebSocket of its own; rejected upgrades (429, 503) and `failed queue_full` are retried
like a 429.

Requests in flight at the end are finished. They count in the codes and latencies, so that slow ones are not left out,
but not in the rates, which cover only the answers within the duration.

The figures are also saved as `test/results/tpm.txt` and `tpm.json`. The exit code is 1 if a request returned no text;
with `--rate` the rejections of a full server (429, `queue_full`, `queue_timeout`) are expected and leave it 0.
"""

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, takewhile
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent / "clients"))

import client
import client_report

REJECTIONS = ("429", "503 queue_timeout", "failed queue_full", "failed queue_timeout")
"""Prefixes of the codes of a full server."""


@dataclass(frozen=True)
class Punctuality:
    """How late the client was on the schedule of `--rate`, and the largest number of requests in flight."""

    late_p99_s: float
    late_max_s: float
    in_flight_max: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    files = options.file or client.short_clips()
    uploads = [client.prepare(each, options) for each in files]
    summary, punctuality = asyncio.run(sustain(options, uploads))
    load = f"{options.rate:g} requests per second" if options.rate else f"{options.concurrency} requests at a time"
    per_minute = summary.requests_per_s * 60
    rows = [
        *client_report.load_rows(options, uploads),
        ("load", f"{load} for {options.duration:g} s"),
        *client_report.summary_rows(summary),
        ("TPM", f"{per_minute:.1f} = transactions per minute"),
    ]
    settings = client_report.load_settings(options, uploads) | {"duration_s": options.duration}
    figures = settings | summary.figures() | {"transactions_per_minute": per_minute}
    if punctuality is None:
        figures["concurrency"] = options.concurrency
    else:
        rows.extend(punctuality_rows(punctuality))
        figures |= {"rate_per_s": options.rate} | asdict(punctuality)
    client_report.report("tpm", options.results, rows, figures)
    return 1 if failures(summary, rejections_expected=punctuality is not None) else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = client.parser(
        "Keep the server under load for a time and print how many transactions per minute it answered."
    )
    client.add_load_arguments(parser)
    load = parser.add_mutually_exclusive_group()
    load.add_argument(
        "--concurrency", type=client.positive_int, default=12, help="requests in flight at once (default: %(default)s)"
    )
    load.add_argument(
        "--rate", type=client.positive, metavar="R", help="send R requests per second, answered or not, without retries"
    )
    parser.add_argument(
        "--duration", type=client.positive, default=60.0, metavar="S", help="seconds (default: %(default)g)"
    )
    return client.parsed(parser, argv)


async def sustain(
    options: argparse.Namespace, uploads: Sequence[client.Upload]
) -> tuple[client_report.Summary, Punctuality | None]:
    """Send `uploads` in turn for `options.duration` seconds. The `Punctuality` is None without `options.rate`."""
    tally = client.Tally()
    punctuality = None
    async with client.open_sender(options) as send:
        started_s = time.perf_counter()

        def progress() -> tuple[float, str]:
            elapsed_s = time.perf_counter() - started_s
            return elapsed_s / options.duration, f"{len(tally.answers)} answers, {tally.errors} errors"

        async with client_report.shown_progress(progress, sys.stderr):
            if options.rate:
                dues_s = [started_s + i / options.rate for i in range(math.ceil(options.rate * options.duration))]
                punctuality = await keep_schedule(send, dues_s, cycle(uploads), tally)
            else:
                send = client.patient(send) if options.retry else send
                in_turn = until(started_s + options.duration, uploads)
                await client.keep_busy(send, in_turn, options.concurrency, tally)
    summary = client_report.summarise(tally.answers, started_s=started_s, window_s=options.duration, ws=options.ws)
    return summary, punctuality


def until(end_s: float, uploads: Sequence[client.Upload]) -> Iterator[client.Upload]:
    """Yield `uploads` in turn until `time.perf_counter()` is `end_s`."""
    return takewhile(lambda _: time.perf_counter() < end_s, cycle(uploads))


async def keep_schedule(
    send: client.Send, dues_s: Sequence[float], uploads: Iterator[client.Upload], tally: client.Tally
) -> Punctuality:
    """Send one of `uploads` at each of `dues_s` (`time.perf_counter`), and return once all are answered."""
    late_s: list[float] = []
    in_flight_max = 0

    async def work(upload: client.Upload) -> None:
        tally.add(await send(upload))

    async with asyncio.TaskGroup() as group:
        for due_s in dues_s:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            late_s.append(max(0.0, time.perf_counter() - due_s))
            group.create_task(work(next(uploads)))
            in_flight_max = max(in_flight_max, len(late_s) - len(tally.answers))
    return Punctuality(client_report.percentile(sorted(late_s), 99) or 0.0, max(late_s), in_flight_max)


def punctuality_rows(punctuality: Punctuality) -> list[client_report.Row]:
    """Return the table rows of a schedule."""
    late = f"p99 {punctuality.late_p99_s * 1000:.1f} ms   most {punctuality.late_max_s * 1000:.1f} ms"
    return [("sent late by", late), ("in flight", f"{punctuality.in_flight_max} at most")]


def failures(summary: client_report.Summary, *, rejections_expected: bool) -> list[str]:
    """Return the codes that make a run a failed one."""
    return [code for code in summary.messages if not (rejections_expected and code.startswith(REJECTIONS))]


if __name__ == "__main__":
    sys.exit(client.run(main))
