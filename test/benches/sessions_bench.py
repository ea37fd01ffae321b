"""How many people can speak at once: an increasing number of realtime sessions against a service of its own.

python3 test/benches/sessions_bench.py [--sessions N ...] [--file FILE] [--seconds S] [--model MODEL] [--vad]

Every session sends the file, or its first seconds, in real time and reads the live text. The lag of a word is its delay
relative to a session that was alone. Sessions keep up if the lag does not grow from the first half of the audio to the
second. CPU and memory are the service's own, by /proc. A client process runs at most a hundred of the sessions. The
table is also saved as `test/results/sessions_bench.txt` and `.json`.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import search_path
import client
import client_report
import client_ws
from bench_model import add_model_argument
from client_processes import client_processes
from columns import Cell, columns
from own_service import Server, cpu_s, resident_mb, serving
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

COMPLETED = "conversation.item.input_audio_transcription.completed"
EACH = 100
"""Maximum number of sessions of one client process: they send 1,000 messages a second."""
PATIENCE_S = 20.0
"""A session fails this long after the end of its audio."""
TURNS = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}}


@dataclass(frozen=True)
class LiveResult:
    """The result of one session: when each word came, in seconds from its first audio, and the final text."""

    arrivals_s: list[float]
    final_s: float
    text: str


@dataclass(frozen=True)
class Level:
    """The figures of one number of sessions. Times in seconds, None if there is nothing to compare."""

    sessions: int
    first_delta_p50_s: float | None
    first_delta_p95_s: float | None
    lag_first_half_p95_s: float | None
    lag_second_half_p95_s: float | None
    kept_up: int
    final_p50_s: float | None
    final_p95_s: float | None
    same_text: int
    cpu_cores: float
    cpu_per_session: float
    rss_mb: float
    rss_per_session_mb: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    upload = live_upload(options.file, options.seconds)
    with serving(options.model, PARAKEET_MAX_SESSIONS=str(max_sessions_for(options.sessions))) as server:
        levels = asyncio.run(all_levels(options, upload, server))
    rows = [("file", f"{options.file.name}, {upload.audio_len_s:.0f} s in real time"), ("model", options.model)]
    rows += [("turns", "server_vad" if options.vad else "one commit at the end")]
    print(client_report.table(rows), end="")
    print(table(levels), end="")
    text = client_report.table(rows) + table(levels)
    client_report.save(options.results / "sessions_bench.txt", text)
    figures = {"file": str(options.file), "model": options.model, "levels": [asdict(level) for level in levels]}
    client_report.save(options.results / "sessions_bench.json", json.dumps(figures, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure how many realtime sessions keep up.")
    parser.add_argument("--sessions", type=client.positive_int, nargs="+", default=[10, 25, 50], metavar="N")
    parser.add_argument("--file", type=Path, default=client.CLIPS / "long-60s.flac")
    parser.add_argument("--seconds", type=client.positive, metavar="S", help="send only the first S seconds of it")
    add_model_argument(parser)
    parser.add_argument("--vad", action="store_true", help="let the service detect turns")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def live_upload(path: Path, seconds: float | None) -> client.Upload:
    """Return the first `seconds` of a file, all of it if None, in messages for real time.

    Raises:
        client.Failure: the file cannot be read or decoded.
    """
    upload = client.prepare(path, argparse.Namespace(ws=True, realtime=True))
    pieces = len(upload.frames) if seconds is None else round(seconds / client_ws.REALTIME_PIECE_S)
    length_s = min(upload.audio_len_s, pieces * client_ws.REALTIME_PIECE_S)
    return replace(upload, frames=upload.frames[:pieces], audio_len_s=length_s)


def max_sessions_for(numbers: Sequence[int]) -> int:
    """Return the `PARAKEET_MAX_SESSIONS` for these numbers of sessions: the previous ones may still be closing."""
    return 2 * max(numbers)


async def all_levels(options: argparse.Namespace, upload: client.Upload, server: Server) -> list[Level]:
    """Return the figures of all numbers of sessions."""
    levels = []
    async for level in climb(options.sessions, upload, server, vad=options.vad):
        levels.append(level)
        print(f"{level.sessions} sessions done", file=sys.stderr)
    return levels


async def climb(
    numbers: Sequence[int], upload: client.Upload, server: Server, *, vad: bool
) -> AsyncGenerator[Level, None]:
    """Run one session alone, then each number of them, and yield the figures of each."""
    with client_processes(-(-max(numbers) // EACH)) as clients:
        [alone] = await together(clients, upload, server.url, 1, vad)
        idle_mb = resident_mb(server.pid)
        for sessions in numbers:
            before_s, started_s = cpu_s(server.pid), time.perf_counter()
            running = asyncio.create_task(together(clients, upload, server.url, sessions, vad))
            await asyncio.sleep(upload.audio_len_s * 0.9)
            rss_mb = resident_mb(server.pid)
            listened = await running
            cores = (cpu_s(server.pid) - before_s) / (time.perf_counter() - started_s)
            yield level_of(listened, alone, upload.audio_len_s, cores, rss_mb, rss_mb - idle_mb)


async def together(clients: Pool, upload: client.Upload, url: str, sessions: int, vad: bool) -> list[LiveResult]:
    """Run concurrent sessions that start at random times within one second."""
    chance = random.Random(0)
    waits_s = [chance.random() if sessions > 1 else 0.0 for _ in range(sessions)]
    shares = [(upload, url, waits_s[start : start + EACH], vad) for start in range(0, sessions, EACH)]
    listened = await asyncio.to_thread(clients.starmap, of_one_process, shares, 1)
    return [each for share in listened for each in share]


def of_one_process(upload: client.Upload, url: str, waits_s: Sequence[float], vad: bool) -> list[LiveResult]:
    """Run concurrent sessions that start after `waits_s`, and return their results."""

    async def one(wait_s: float) -> LiveResult:
        await asyncio.sleep(wait_s)
        return await listen(upload, url, vad)

    async def all_of_them() -> list[LiveResult]:
        return await asyncio.gather(*map(one, waits_s))

    return asyncio.run(all_of_them())


async def listen(upload: client.Upload, url: str, vad: bool) -> LiveResult:
    """Run one session to its final text.

    Raises:
        client.Failure: the service reports an error, ends the session, or sends no final text in time.
    """
    try:
        async with asyncio.timeout(upload.audio_len_s + PATIENCE_S):
            return await converse(upload, url, vad)
    except TimeoutError:
        raise client.Failure(f"A session had no final text {PATIENCE_S:g} s after its audio.") from None
    except (OSError, WebSocketException) as error:
        raise client.Failure(f"A session ended: {error}") from None


async def converse(upload: client.Upload, url: str, vad: bool) -> LiveResult:
    """Run one session as `listen` does, without a time limit."""
    # A busy service may take long to open a session; the caller limits the time.
    options: dict[str, Any] = {"compression": None, "max_size": None, "ping_timeout": None, "open_timeout": None}
    async with connect(client_ws.address(url), **options) as socket_:
        if vad:
            await socket_.send(json.dumps(TURNS))
        started_s = time.perf_counter()

        async def speak() -> float:
            for number, frame in enumerate(upload.frames):
                due_s = started_s + number * client_ws.REALTIME_PIECE_S
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await socket_.send(frame)
            await socket_.send(client_ws.CREATE)
            return time.perf_counter()

        speaking = asyncio.create_task(speak())
        arrivals_s: list[float] = []
        shown: dict[str, str] = {}
        while True:
            event = json.loads(await socket_.recv())
            if event["type"] in (client_ws.DELTAS[0], COMPLETED):
                so_far = shown.get(event["item_id"], "") + event.get("delta", "")
                shown[event["item_id"]] = event.get("transcript", so_far)
                words = sum(len(text.split()) for text in shown.values())
                arrivals_s += [time.perf_counter() - started_s] * (words - len(arrivals_s))
            elif event["type"] == "response.completed":
                text = event["response"]["output_text"]
                return LiveResult(arrivals_s, time.perf_counter() - await speaking, text)
            elif event["type"] == "error":
                raise client.Failure(event["error"]["message"])


def level_of(
    listened: Sequence[LiveResult], alone: LiveResult, audio_s: float, cores: float, rss_mb: float, grown_mb: float
) -> Level:
    """Return the figures of sessions that ran together."""
    halves = [halved_lags(each, alone, audio_s) for each in listened]
    first = sorted(lag for lags, _ in halves for lag in lags)
    second = sorted(lag for _, lags in halves for lag in lags)
    kept_up = sum(keeps_up(*each) for each in halves)
    starts = sorted(each.arrivals_s[0] for each in listened if each.arrivals_s)
    finals = sorted(each.final_s for each in listened)
    p = client_report.percentile
    return Level(
        sessions=len(listened),
        first_delta_p50_s=p(starts, 50),
        first_delta_p95_s=p(starts, 95),
        lag_first_half_p95_s=p(first, 95),
        lag_second_half_p95_s=p(second, 95),
        kept_up=kept_up,
        final_p50_s=p(finals, 50),
        final_p95_s=p(finals, 95),
        same_text=sum(each.text == alone.text for each in listened),
        cpu_cores=cores,
        cpu_per_session=cores / len(listened),
        rss_mb=rss_mb,
        rss_per_session_mb=grown_mb / len(listened),
    )


def halved_lags(each: LiveResult, alone: LiveResult, audio_s: float) -> tuple[list[float], list[float]]:
    """Return the lags of the words in the first half of the audio and in the second."""
    pairs = [(expected, came - expected) for came, expected in zip(each.arrivals_s, alone.arrivals_s, strict=False)]
    first = [lag for expected, lag in pairs if expected < audio_s / 2]
    return first, [lag for expected, lag in pairs if expected >= audio_s / 2]


def keeps_up(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the lag is stable: the median of the second half is at most half a second above that of the first."""
    if not first or not second:
        return False
    return sorted(second)[len(second) // 2] <= sorted(first)[len(first) // 2] + 0.5


NAMES = {
    "sessions": "sessions",
    "kept_up": "kept up",
    "first_delta_p50_s": "first p50",
    "first_delta_p95_s": "p95",
    "lag_first_half_p95_s": "lag p95 1st half",
    "lag_second_half_p95_s": "2nd half",
    "final_p50_s": "final p50",
    "final_p95_s": "p95",
    "same_text": "same text",
    "cpu_cores": "cores",
    "cpu_per_session": "per session",
    "rss_mb": "RSS MB",
    "rss_per_session_mb": "per session",
}
"""The names of a level's figures in the table."""


def table(levels: Sequence[Level]) -> str:
    """Return the figures as aligned columns, one line for each number of sessions."""
    return columns(list(NAMES.values()), [cells(level) for level in levels])


def cells(level: Level) -> list[Cell]:
    """Return a line of the table."""
    values = asdict(level)
    return [values[name] for name in NAMES]


if __name__ == "__main__":
    sys.exit(client.run(main))
