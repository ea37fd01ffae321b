"""The cost of serving without the model: CPU time of the service per request, on a model that answers at once.

python3 test/benches/overhead_bench.py [--n N] [--rounds N] [--concurrency N ...] [--seconds S] [--profile]

The service runs in a process of its own (`instant_model.py`). The same audio is sent in three forms over persistent
connections, the forms in turns in short rounds. A figure is that of the best round, because other programs can only add
to it. CPU time is that of the service's process by /proc, without the client's; the event loop's is that of the main
thread. `--profile` instead prints where the event loop's thread spends its time; the figures are then too high. The
table is also saved as `test/results/overhead_bench.txt` and `.json`.
"""

import argparse
import asyncio
import io
import json
import pstats
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import search_path
import client
import client_report
import numpy as np
import soundfile
from columns import columns
from own_service import EVENT_LOOP, INSTANT_SERVICE, Server, cpu_of_threads_s, cpu_s, serving

from src.audio.samples import SAMPLE_RATE

WARM_UP = 50
WORD_S = 0.64
"""Pace of the model's words, to the end of the clip: a text with gaps would cost a speech detection."""
FORMS = {
    "raw PCM16": {"raw": True, "pcm": True},
    "raw wav": {"raw": True, "pcm": False},
    "multipart wav": {"raw": False, "pcm": False},
}
"""The forms of the audio, as options of `client.prepare`."""


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of the service per request, in one form at one concurrency, and the latency."""

    form: str
    concurrency: int
    cpu_ms: float
    event_loop_ms: float
    others_ms: dict[str, float]
    """CPU milliseconds of the other threads, by name."""
    requests_per_s: float
    p50_ms: float | None
    p99_ms: float | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    with TemporaryDirectory() as folder:
        uploads = forms_of(Path(folder) / "clip.wav", options.seconds)
        profile = Path(folder) / "profile"
        program = [*INSTANT_SERVICE, "--every", f"{WORD_S}", *(["--profile", str(profile)] if options.profile else [])]
        with serving("tiny", program, PARAKEET_MAX_QUEUE_WAIT_S="60") as server:
            costs = asyncio.run(measure(options, uploads, server))
        text = table(costs)
        if options.profile:
            text += profile_text(profile)
    print(text, end="")
    client_report.save(options.results / "overhead_bench.txt", text)
    figures = {"seconds": options.seconds, "costs": [asdict(cost) for cost in costs]}
    client_report.save(options.results / "overhead_bench.json", json.dumps(figures, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure the CPU time of the service without its model.")
    parser.add_argument("--n", type=client.positive_int, default=300, help="requests of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=client.positive_int, default=3, help="(default: %(default)s)")
    parser.add_argument("--concurrency", type=client.positive_int, nargs="+", default=[1, 8], metavar="N")
    parser.add_argument(
        "--seconds", type=client.positive, default=10.0, help="length of the clip (default: %(default)g)"
    )
    parser.add_argument("--profile", action="store_true", help="print what the event loop's thread does")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def forms_of(wav: Path, seconds: float) -> dict[str, client.Upload]:
    """Write a clip of speech to `wav`, 16 kHz mono PCM16, and return its upload in each form."""
    speech = client.samples_of(client.CLIPS / "long-30s.flac")
    soundfile.write(wav, np.resize(speech, round(seconds * SAMPLE_RATE)), SAMPLE_RATE, "PCM_16")
    return {form: client.prepare(wav, argparse.Namespace(ws=False, **how)) for form, how in FORMS.items()}


async def measure(options: argparse.Namespace, uploads: dict[str, client.Upload], server: Server) -> list[Cost]:
    """Return the best round of each form at each concurrency."""
    best: dict[tuple[int, str], Cost] = {}
    async with client.open_sender(argparse.Namespace(url=server.url, key=None, ws=False, timeout=60.0)) as send:
        for upload in uploads.values():
            await client.keep_busy(send, repeat(upload, WARM_UP), 8, client.Tally())
        for _ in range(options.rounds):
            for concurrency in options.concurrency:
                for form, upload in uploads.items():
                    cost = await one_round(form, upload, concurrency, options.n, send, server)
                    known = best.setdefault((concurrency, form), cost)
                    best[concurrency, form] = min(known, cost, key=lambda each: each.cpu_ms)
    return [best[key] for key in sorted(best, key=lambda key: key[0])]


async def one_round(
    form: str, upload: client.Upload, concurrency: int, n: int, send: client.Send, server: Server
) -> Cost:
    """Send `upload` `options.n` times and return the cost for the server.

    Raises:
        client.Failure: a request returned no text.
    """
    tally = client.Tally()
    loop = asyncio.get_running_loop()
    before_s, threads_before_s, started_s = cpu_s(server.pid), cpu_of_threads_s(server.pid), loop.time()
    await client.keep_busy(send, repeat(upload, n), concurrency, tally)
    wall_s = loop.time() - started_s
    spent_s, threads_s = cpu_s(server.pid) - before_s, cpu_of_threads_s(server.pid)
    if tally.errors:
        raise client.Failure(next(answer.message for answer in tally.answers if not answer.ok))
    by_thread_ms = {name: (used - threads_before_s.get(name, 0.0)) * 1000 / n for name, used in threads_s.items()}
    latencies_ms = sorted(answer.latency_s * 1000 for answer in tally.answers)
    return Cost(
        form,
        concurrency,
        cpu_ms=spent_s * 1000 / n,
        event_loop_ms=by_thread_ms.pop(EVENT_LOOP),
        others_ms={name: spent_ms for name, spent_ms in by_thread_ms.items() if spent_ms >= 0.01},
        requests_per_s=n / wall_s,
        p50_ms=client_report.percentile(latencies_ms, 50),
        p99_ms=client_report.percentile(latencies_ms, 99),
    )


def table(costs: Sequence[Cost]) -> str:
    """Return costs as aligned columns; CPU is in milliseconds per request."""
    names = ["sent as", "at once", "CPU ms", "event loop", "others", "req/s", "p50 ms", "p99 ms", "others by thread"]
    lines = []
    for cost in costs:
        others = "  ".join(f"{name} {spent_ms:.2f}" for name, spent_ms in cost.others_ms.items())
        rest_ms = cost.cpu_ms - cost.event_loop_ms
        timing = (cost.requests_per_s, cost.p50_ms, cost.p99_ms)
        lines.append([cost.form, cost.concurrency, cost.cpu_ms, cost.event_loop_ms, rest_ms, *timing, others or "-"])
    return columns(names, lines)


def profile_text(path: Path) -> str:
    """Return the functions with the most time on the event loop's thread, by their own and by cumulative time."""
    out = io.StringIO()
    stats = pstats.Stats(str(path), stream=out).strip_dirs()
    stats.sort_stats("tottime").print_stats(35)
    stats.sort_stats("cumulative").print_stats(60)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(client.run(main))
