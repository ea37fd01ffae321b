"""The service's memory when all clients use all that they are allowed, and the answers of others meanwhile.

python3 test/benches/memory_bench.py [--sessions N] [--files N] [--audio-mb MB]

It starts a service of its own with the bundled model and little memory for audio. In turns there are sessions that
append and commit for as long as it is accepted, sessions that leave messages of 22 MiB unfinished, and concurrent
compressed files of ten minutes. Meanwhile another client sends a clip repeatedly and counts the status codes. Memory is
that of the service's process, in MB above that at rest; the last column is its memory some seconds after all clients
have left.
"""

import argparse
import asyncio
import base64
import json
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress

import search_path
import aiohttp
import numpy as np
from media import encode, pcm16
from own_service import Server, resident_mb, serving
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode

SECONDS_PER_TURN = 20.0
LOOK_S = 0.05
REST_S = 12.0
"""Time until free memory is back with the system."""
CLIP = pcm16(np.sin(np.arange(32_000) / 9).astype(np.float32) / 4)
MINUTE = pcm16(np.sin(np.arange(60 * 16_000) / 9).astype(np.float32) / 4)


async def hoard_audio(server: Server) -> None:
    """Append and commit for as long as it is accepted, alternating base64 and binary messages."""
    event = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(MINUTE).decode()})
    async with connect(_address(server), max_size=None, compression=None) as ws:
        while True:
            for message in (event, MINUTE, '{"type":"input_audio_buffer.commit"}'):
                await ws.send(message)
            async with asyncio.timeout(SECONDS_PER_TURN):
                await ws.recv()


async def hoard_messages(server: Server) -> None:
    """Send a message of 22 MiB except for its end, and wait."""
    async with connect(_address(server), max_size=None, compression=None) as ws:
        ws.transport.write(Frame(Opcode.BINARY, bytes(22 << 20)).serialize(mask=True)[:-1])
        await ws.wait_closed()


async def _upload(server: Server, file: bytes) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/v1/audio/transcriptions", data=file, headers={"content-type": "audio/ogg"}) as answer,
    ):
        return answer.status


async def turn(name: str, server: Server, doing: list[Awaitable[object]]) -> str:
    """Run all of it concurrently for some seconds; return a line with the figures."""
    at_rest_mb = most_mb = resident_mb(server.pid)
    tasks = [asyncio.ensure_future(each) for each in doing]
    others: Counter[int] = Counter()
    asking = asyncio.create_task(_send_repeatedly(server, others))
    ends = asyncio.get_running_loop().time() + SECONDS_PER_TURN
    while asyncio.get_running_loop().time() < ends:
        most_mb = max(most_mb, resident_mb(server.pid))
        await asyncio.sleep(LOOK_S)
    for task in (asking, *tasks):
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    statuses = Counter(result for result in results if isinstance(result, int))
    await asyncio.sleep(REST_S)
    left_mb = resident_mb(server.pid) - at_rest_mb
    return f"{name:30} {most_mb - at_rest_mb:+8.0f} {left_mb:+8.0f}   others: {dict(others)}  theirs: {dict(statuses)}"


async def _send_repeatedly(server: Server, statuses: Counter[int]) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            headers = {"content-type": "audio/pcm"}
            async with http.post(f"{server.url}/v1/audio/transcriptions", data=CLIP, headers=headers) as answer:
                statuses[answer.status] += 1


async def _quietly(doing: Awaitable[None]) -> None:
    with suppress(OSError, TimeoutError, WebSocketException):
        await doing


def _address(server: Server) -> str:
    return server.url.replace("http", "ws") + "/v1/realtime"


async def bench(server: Server, sessions: int, files: int) -> None:
    """Print a line for each turn."""
    opus = encode(np.random.default_rng(7).normal(0, 0.05, 600 * 16_000).astype(np.float32), "ogg", "libopus")
    print(f"{'':30} {'most':>8} {'after':>8}")
    turns: dict[str, list[Awaitable[object]]] = {
        f"{sessions} sessions full of audio": [_quietly(hoard_audio(server)) for _ in range(sessions)],
        f"{sessions} unfinished messages": [_quietly(hoard_messages(server)) for _ in range(sessions)],
        f"{files} files of 600 s": [_upload(server, opus) for _ in range(files)],
    }
    for name, doing in turns.items():
        print(await turn(name, server, doing), flush=True)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--audio-mb", type=int, default=256)
    options = parser.parse_args()
    with serving("tiny", PARAKEET_MAX_AUDIO_MB=str(options.audio_mb)) as server:
        asyncio.run(bench(server, options.sessions, options.files))


if __name__ == "__main__":
    main()
