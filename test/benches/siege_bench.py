"""A service with 3 GB under every attack on its memory at once, and what others are answered meanwhile.

python3 test/benches/siege_bench.py [--memory-mb N] [--seconds N] [--crowd N] [--model MODEL]

One service runs in a process of its own and, as root, in a control group with `--memory-mb` of memory (0: without one).
Its attackers come again whenever they are refused or cut, `--crowd` of each kind: MP4s of 1 kB with an index of 20
million samples, sessions that hoard audio, sessions that leave messages of 22 MiB unfinished, files of ten minutes, and
uploads that stop shortly before 64 MiB and go on with a byte every few seconds. Two other clients send a clip again and
again. The figures are also saved as `test/results/siege_bench.txt`. The exit code is 1 if the service was killed, if
the others got anything but 200, 429 or 503, or if they never got a text.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import search_path
import client
import client_report
import httpx
import numpy as np
from bench_model import add_model_argument
from index_bench import control_group, count_words, in_group, limit_of, measure
from media import encode, mp4_promising
from memory_bench import CLIP, hoard_audio, hoard_messages
from own_service import Server, serving
from websockets.exceptions import WebSocketException

PATH = "/v1/audio/transcriptions"
LARGE_BYTES = 64 << 20
TRICKLE_S = 5.0
GOOD = {200, 429, 503}
"""What clients may get that do nothing wrong."""

Attack = Callable[[], Awaitable[int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    with control_group(options.memory_mb) as group:
        program = in_group(group, options.model) if group else None
        with serving(options.model, program) as server:
            found, others, most, is_alive = asyncio.run(besieged(server, options))
        lines = [
            *(f"{name}: {count_words(statuses)}" for name, statuses in found.items()),
            f"others: {count_words(others)}",
            f"memory: at most {most['service']:.0f} MB the service, {most['workers']:.0f} MB {most['count']} workers",
            f"the service {'lives' if is_alive else 'was killed'}; its memory was {limit_of(group, options.memory_mb)}",
        ]
    print("\n".join(lines))
    client_report.save(options.results / "siege_bench.txt", "\n".join(lines) + "\n")
    return 0 if passed(is_alive, others) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-mb", type=int, default=3072)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--crowd", type=client.positive_int, default=24)
    add_model_argument(parser)
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def passed(is_alive: bool, others: Counter[int]) -> bool:
    """Whether the service has withstood it, given what those got who did nothing wrong; 0 stands for no answer."""
    return is_alive and set(others) <= GOOD and others[200] > 0


async def besieged(
    server: Server, options: argparse.Namespace
) -> tuple[dict[str, Counter[int]], Counter[int], dict[str, float], bool]:
    """Attack the service for some time.

    Returns:
        The statuses that each kind of attacker and the others got, the peak memory in MB, and whether it lives.
    """
    opus = encode(np.random.default_rng(7).normal(0, 0.05, 600 * 16_000).astype(np.float32), "ogg", "libopus")
    index = mp4_promising(20_000_000)
    found: dict[str, Counter[int]] = {}
    others: Counter[int] = Counter()
    most = {"service": 0.0, "workers": 0.0, "count": 0}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as http:
        attacks: dict[str, Attack] = {
            "indexes": lambda: _status(http, index, "video/mp4"),
            "long files": lambda: _status(http, opus, "audio/ogg"),
            "trickling uploads": lambda: _trickle(server.url),
            "sessions full of audio": lambda: _session(hoard_audio(server)),
            "unfinished messages": lambda: _session(hoard_messages(server)),
        }
        tasks = [asyncio.create_task(_watch(server.pid, most))]
        for name, attack in attacks.items():
            statuses = found[name] = Counter()
            tasks += [asyncio.create_task(_again_and_again(attack, statuses)) for _ in range(options.crowd)]
        asking = [_again_and_again(lambda: _status(http, CLIP, "audio/pcm"), others) for _ in range(2)]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*asking), options.seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            is_alive = (await http.get("/readyz")).is_success
        except httpx.HTTPError:
            is_alive = False
    return found, others, most, is_alive


async def _again_and_again(attack: Attack, statuses: Counter[int]) -> None:
    while True:
        status = await attack()
        statuses[status] += 1
        if status != 200:
            await asyncio.sleep(0.1)


async def _status(http: httpx.AsyncClient, body: bytes, content_type: str) -> int:
    try:
        return (await http.post(PATH, content=body, headers={"content-type": content_type})).status_code
    except httpx.HTTPError:
        return 0


async def _trickle(url: str) -> int:
    """Send nearly all of a large body, then a byte now and then; return the status of the answer."""
    address = urlsplit(url)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: audio/pcm\r\nContent-Length: {LARGE_BYTES}\r\n\r\n"
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
    except OSError:
        return 0
    answer = asyncio.create_task(reader.readline())
    try:
        writer.write(head.encode())
        for _ in range((LARGE_BYTES - 2048) >> 16):
            writer.write(bytes(1 << 16))
            await writer.drain()
        while not answer.done():
            writer.write(b"\0")
            await asyncio.wait([answer], timeout=TRICKLE_S)
        return int((await answer).split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    finally:
        answer.cancel()
        writer.close()


async def _session(doing: Awaitable[None]) -> int:
    """Run a session until it ends; return 101, the status of its handshake."""
    with suppress(OSError, TimeoutError, WebSocketException):
        await doing
    return 101


async def _watch(pid: int, most: dict[str, float]) -> None:
    while True:
        await asyncio.to_thread(measure, pid, most)
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    sys.exit(client.run(main))
