"""The part of `gpu_check.py` for the service, in a process of its own: first concurrent requests, then sessions.

Requests are raw PCM of 10 s each, over persistent connections, from several client processes; each is sent again as
soon as it is answered. Every text is compared with that of the same clip sent alone. Sessions are those of
`sessions_bench.py`.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import search_path
import bench
import client
import client_report
import engine_bench
import numpy as np
import sessions_bench
import tpm
from bench_model import checkpoint
from client_processes import client_processes
from columns import Cell
from gpu_part import DIFFERENT, Clock, Rows, arguments, put, say
from live_session import Manner
from own_service import Server, cpu_s, serving

from src.audio.samples import SAMPLE_RATE

CLIP_S = 10.0
CLIPS = 32
AT_ONCE, LEVEL_S = (1, 8, 32, 128, 256), 4.0
EACH = 32
"""Maximum number of concurrent requests of one client process."""
SESSIONS, SESSION_S = (100, 300, 1000), 8.0
QUICK_AT_ONCE, QUICK_LEVEL_S, QUICK_SESSIONS, QUICK_SESSION_S = (1, 4), 1.0, (2,), 3.0
SHOWN = 10
"""Number of the service's warnings that are printed; the figures have all."""
SESSIONS_END_S = 4.0
"""Time of sessions beyond their audio: they start within a second, and wait for their last text."""
LEAD_S = 0.6
"""Delay until the client processes start: they receive 80 MB of requests meanwhile."""


@dataclass(frozen=True)
class Load:
    """The figures of one number of concurrent requests; None for those that are not available."""

    at_once: int
    requests_per_s: float
    audio_s_per_s: float
    p50_s: float | None
    p95_s: float | None
    gpu_percent: float | None
    """Percentage of the time in which the GPU was busy, by the driver."""
    server_cores: float
    """Of the service's process."""
    without_text: int
    other_texts: int
    """Texts that differ from that of the same clip sent alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments("Measure the service over HTTP and in live sessions.", argv)
    model = checkpoint(options.model)
    settings = {
        "PARAKEET_DEVICE": options.device,
        "PARAKEET_HOST": "127.0.0.1",
        "PARAKEET_MAX_QUEUE_WAIT_S": "60",  # no request is rejected, so that the work is the same everywhere
        "PARAKEET_MAX_SESSIONS": str(sessions_bench.max_sessions_for(SESSIONS)),
    }
    clock, started_s = Clock(options.limit), time.perf_counter()
    with serving(model, **settings) as server:
        ready_s = time.perf_counter() - started_s
        say(f"ready after {ready_s:.1f} s")
        put(ready_s=ready_s)
        made = clips(4 if options.quick else CLIPS)
        as_one = requests(options, made, server)
        as_one &= asyncio.run(sessions(options, made[0], server, clock))
        say_warnings(server.log)
    return 0 if as_one else DIFFERENT


def requests(options: argparse.Namespace, made: Sequence[np.ndarray], server: Server) -> bool:
    """Report the figures of each number of concurrent requests; return whether all texts equal those of clips alone."""
    levels, seconds = (QUICK_AT_ONCE, QUICK_LEVEL_S) if options.quick else (AT_ONCE, LEVEL_S)
    uploads = [client.raw_pcm(str(number), clip) for number, clip in enumerate(made)]
    expected = asyncio.run(texts_alone(server.url, uploads))
    rows = Rows("at once", LOAD_NAMES)
    all_well = True
    with client_processes(processes_for(max(levels))) as clients:
        for at_once in levels:
            load = measured(at_once, seconds, clients, uploads, expected, server)
            rows.add(str(at_once), load_cells(load))
            put(**{f"requests_{at_once}": asdict(load)})
            all_well &= not load.without_text and not load.other_texts
    return all_well


def say_warnings(log: Path) -> None:
    """Print the service's warnings and errors."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if " WARNING " in line or " ERROR " in line]
    put(warnings=lines)
    for line in lines[:SHOWN]:
        say(line)


def clips(count: int) -> list[np.ndarray]:
    """Return clips of `CLIP_S`, the same in each run: whole bundled clips joined, then silence."""
    chance = random.Random(0)
    spoken = [client.samples_of(path) for path in client.short_clips() if engine_bench.is_speech(path)]
    length = round(CLIP_S * SAMPLE_RATE)
    made = []
    for _ in range(count):
        pieces = [np.zeros(0, np.float32)]
        for piece in chance.sample(spoken, len(spoken)):
            if sum(map(len, pieces)) + len(piece) > length:
                break
            pieces.append(piece)
        joined = np.concatenate(pieces)
        made.append(np.pad(joined, (0, length - len(joined))))
    return made


async def texts_alone(url: str, uploads: Sequence[client.Upload]) -> dict[str, str]:
    """Return the service's text for each upload sent alone."""
    async with client.open_sender(how(url)) as send:
        return await bench.texts_alone(send, uploads)


def how(url: str) -> argparse.Namespace:
    """Return the options for `client.open_sender`."""
    return argparse.Namespace(url=url, key=None, ws=False, timeout=60.0)


def processes_for(at_once: int) -> int:
    """Return the number of client processes for `at_once` requests; the service needs cores, too."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(-(-at_once // EACH), cores // 2))


def measured(
    at_once: int,
    seconds: float,
    clients: Pool,
    uploads: Sequence[client.Upload],
    expected: dict[str, str],
    server: Server,
) -> Load:
    """Return the figures of concurrent requests over some seconds."""
    shares = spread(at_once, processes_for(at_once))
    begin_s = time.perf_counter() + LEAD_S
    turned = [[*uploads[number:], *uploads[:number]] for number in range(len(shares))]
    tasks = [(server.url, own, share, begin_s, begin_s + seconds) for own, share in zip(turned, shares, strict=True)]
    sending = clients.starmap_async(send_until, tasks, 1)
    time.sleep(max(0.0, begin_s - time.perf_counter()))
    with gpu_use() as percents:
        before_s = cpu_s(server.pid)
        time.sleep(max(0.0, begin_s + seconds - time.perf_counter()))
        cores = (cpu_s(server.pid) - before_s) / seconds
    answers = [answer for share in sending.get() for answer in share]
    summary = client_report.summarise(answers, started_s=begin_s, window_s=seconds)
    return Load(
        at_once,
        summary.requests_per_s,
        summary.rtfx,
        summary.latency_s["p50"],
        summary.latency_s["p95"],
        sum(percents) / len(percents) if percents else None,
        cores,
        without_text=summary.requests - summary.ok,
        other_texts=sum(answer.ok and answer.text != expected[answer.file] for answer in answers),
    )


def spread(count: int, over: int) -> list[int]:
    """Split `count` into `over` numbers that are as equal as possible."""
    return [count // over + (number < count % over) for number in range(over)]


def send_until(
    url: str, uploads: Sequence[client.Upload], at_once: int, begin_s: float, end_s: float
) -> list[client.Answer]:
    """Send uploads concurrently between two times of `time.perf_counter`, and return the answers."""

    async def send_all() -> list[client.Answer]:
        tally = client.Tally()
        async with client.open_sender(how(url)) as send:
            await asyncio.sleep(max(0.0, begin_s - time.perf_counter()))
            await client.keep_busy(send, tpm.until(end_s, uploads), at_once, tally)
        return tally.answers

    return asyncio.run(send_all())


@contextmanager
def gpu_use() -> Iterator[list[float]]:
    """Yield a list that receives, five times a second, the percentage of time in which the first GPU was busy.

    It stays empty without `nvidia-smi`, or if that has no such figure.
    """
    percents: list[float] = []
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=200"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        yield percents
        return

    def read() -> None:
        for line in process.stdout or ():
            with suppress(ValueError):  # "[N/A]"
                percents.append(float(line))

    reader = threading.Thread(target=read)
    reader.start()
    with process:
        try:
            yield percents
        finally:
            process.kill()
            reader.join()


LOAD_NAMES = ("req/s", "audio s/s", "p50 ms", "p95 ms", "GPU %", "cores", "no text", "other texts")


def load_cells(load: Load) -> list[Cell]:
    """Return a row of the table of requests."""
    waits_ms = [None if wait_s is None else wait_s * 1000 for wait_s in (load.p50_s, load.p95_s)]
    speed = [load.requests_per_s, load.audio_s_per_s]
    return [*speed, *waits_ms, load.gpu_percent, load.server_cores, load.without_text, load.other_texts]


async def sessions(options: argparse.Namespace, clip: np.ndarray, server: Server, clock: Clock) -> bool:
    """Report the figures of each number of live sessions; return whether all final texts equal that of one alone.

    A number is left out if there is no time for it. The first one with a session without a final text is the last.
    """
    numbers, seconds = (QUICK_SESSIONS, QUICK_SESSION_S) if options.quick else (SESSIONS, SESSION_S)
    speech = sessions_bench.speech_of("live", clip[: round(seconds * SAMPLE_RATE)])
    _, *names = sessions_bench.NAMES.values()
    rows = Rows("sessions", names)
    all_well, needed_s = True, 2 * (seconds + SESSIONS_END_S)  # including the one session alone before it
    async with aclosing(sessions_bench.climb(numbers, [speech], server, Manner(), alone=1)) as levels:
        for number in numbers:
            if not clock.allows(needed_s, f"{number} sessions"):
                break
            try:
                level = await anext(levels)
            except client.Failure as failure:
                say(f"{number} sessions: {failure}")
                return False
            _, *cells = sessions_bench.cells(level)
            rows.add(str(number), cells)
            put(**{f"sessions_{number}": asdict(level)})
            all_well &= level.same_text == number
            needed_s = seconds + SESSIONS_END_S
    return all_well


if __name__ == "__main__":
    sys.exit(client.run(main))
