"""Send a fixed number of requests, several at a time, and print how fast they were answered.

python3 test/bench.py [--n N] [--concurrency N] [--file FILE ...] [--raw] [--no-pcm] [--check] [--no-retry] [--url URL]
python3 test/bench.py --ws [--realtime] [--n N] [--concurrency N] [--file FILE ...] [--check] [--no-retry] [--url URL]

The figures are also saved as `test/results/bench.txt` and `bench.json`. The exit code is 1 if a request returned no
text or, with `--check`, a text other than that of the same file sent alone before the run. A 429 is retried after its
`Retry-After` and counted separately; it is an error only if it persists, or with `--no-retry`. With `--ws` each request
is a WebSocket of its own; rejected upgrades (429, 503) and `failed queue_full` are retried like a 429.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent / "clients"))

import client
import client_report


@dataclass(frozen=True)
class Run:
    """The figures of a run, and the answers whose text is not that of their file alone (None: not checked)."""

    summary: client_report.Summary
    differing: list[client.Answer] | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    files = options.file or client.short_clips()
    uploads = [client.prepare(each, options) for each in files]
    result = asyncio.run(bench(options, uploads))
    rows = [
        *client_report.load_rows(options, uploads),
        ("load", f"{options.n} requests, {options.concurrency} at a time"),
        *client_report.summary_rows(result.summary),
    ]
    settings = client_report.load_settings(options, uploads) | {"n": options.n, "concurrency": options.concurrency}
    figures = settings | result.summary.figures()
    if result.differing is not None:
        rows.append(("differing", f"{len(result.differing)} texts are not those of the same file sent alone"))
        rows.extend((f"  {each.file}", each.text or "(no speech)") for each in result.differing[:3])
        figures["differing"] = len(result.differing)
    client_report.report("bench", options.results, rows, figures)
    return 0 if result.summary.ok == result.summary.requests and not result.differing else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = client.parser("Send a fixed number of requests and print how fast they were answered.")
    client.add_load_arguments(parser)
    parser.add_argument("--n", type=client.positive_int, default=100, help="number of requests (default: %(default)s)")
    parser.add_argument(
        "--concurrency", type=client.positive_int, default=6, help="requests in flight at once (default: %(default)s)"
    )
    parser.add_argument(
        "--check", action="store_true", help="first send each file alone, then count the texts of the run that differ"
    )
    return client.parsed(parser, argv)


async def bench(options: argparse.Namespace, uploads: Sequence[client.Upload]) -> Run:
    """Send `options.n` requests, cycling through `uploads`."""
    tally = client.Tally()

    def progress() -> tuple[float, str]:
        done = len(tally.answers)
        return done / options.n, f"{done} of {options.n} requests, {tally.errors} errors"

    async with client.open_sender(options) as send_once:
        send = client.patient(send_once) if options.retry else send_once
        alone = await texts_alone(client.patient(send_once), uploads[: options.n]) if options.check else None
        started_s = time.perf_counter()
        async with client_report.shown_progress(progress, sys.stderr):
            await client.keep_busy(send, islice(cycle(uploads), options.n), options.concurrency, tally)
        wall_s = time.perf_counter() - started_s
    summary = client_report.summarise(tally.answers, started_s=started_s, window_s=wall_s, ws=options.ws)
    if alone is None:
        return Run(summary, None)
    return Run(summary, [each for each in tally.answers if each.ok and each.text != alone[each.file]])


async def texts_alone(send: client.Send, uploads: Sequence[client.Upload]) -> dict[str, str]:
    """Send one upload after the other and return the text of each file.

    Raises:
        client.Failure: an upload returns no text.
    """
    texts = {}
    for upload in uploads:
        answer = await send(upload)
        if not answer.ok:
            raise client.Failure(f"{upload.file} sent alone: {answer.code}: {answer.message}")
        texts[upload.file] = answer.text
    return texts


if __name__ == "__main__":
    sys.exit(client.run(main))
