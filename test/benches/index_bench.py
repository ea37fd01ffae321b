"""Whether files with huge declared sizes take the service down: MP4s of 1 kB whose index would fill the memory.

python3 test/benches/index_bench.py [--memory-mb N] [--at-once N] [--samples N] [--seconds N] [--model MODEL]

One service runs in a process of its own and, as root, in a control group with `--memory-mb` of memory (0: without one).
For some seconds it gets such files, many at a time, and the bundled clips of speech, two at a time. The table is also
saved as `test/results/index_bench.txt`. The exit code is 1 if the service was killed, if a file got anything but 400,
429 or 503, if speech got anything but its text, 429 or 503, or if speech never got a text.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import search_path
import client
import client_report
import httpx
from bench_model import add_model_argument
from media import mp4_promising
from own_service import Server, resident_mb, service_of, serving
from processes import decode_workers
from serve_bench import spoken_clips

GROUPS = {  # folders of control groups: the files of their limit and of their peak
    Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    Path("/sys/fs/cgroup"): ("memory.max", "memory.peak"),
}
IN_GROUP = """
import os, sys
with open({procs!r}, "w") as procs:
    procs.write(str(os.getpid()))
os.execv(sys.executable, [sys.executable, *{service!r}])
"""
REJECTED = {400, 429, 503}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    with control_group(options.memory_mb) as group:
        program = in_group(group, options.model) if group else None
        with serving(options.model, program) as server:
            alive, bombs, speech, most = asyncio.run(attacked(server, options))
        lines = [
            f"files with an index of {options.samples:,} samples, {options.at_once} at a time: {count_words(bombs)}",
            f"speech beside them: {count_words(speech)}",
            f"memory: at most {most['service']:.0f} MB the service, {most['workers']:.0f} MB {most['count']} workers",
            f"the service {'lives' if alive else 'was killed'}; its memory was {limit_of(group, options.memory_mb)}",
        ]
    print("\n".join(lines))
    client_report.save(options.results / "index_bench.txt", "\n".join(lines) + "\n")
    return 0 if alive and set(bombs) <= REJECTED and set(speech) <= {200, 429, 503} and speech[200] else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-mb", type=int, default=3072)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--samples", type=int, default=20_000_000)
    parser.add_argument("--seconds", type=float, default=30)
    add_model_argument(parser)
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


@contextmanager
def control_group(memory_mb: int) -> Iterator[Path | None]:
    """Make a control group with `memory_mb` until the block ends; yield None where that is not possible."""
    made = None
    for parent, (limit, _) in GROUPS.items() if memory_mb else ():
        group = parent / f"index-bench-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            made = group
            (group / limit).write_text(str(memory_mb * 2**20))
            break
    try:
        yield made
    finally:
        while made and made.exists():  # workers end shortly after the service
            with suppress(OSError):
                made.rmdir()
            time.sleep(0.1)


def in_group(group: Path, model: str) -> tuple[str, ...]:
    """Return the arguments with which Python runs the service on `model` in a control group."""
    return "-c", IN_GROUP.format(procs=str(group / "cgroup.procs"), service=service_of(model))


def limit_of(group: Path | None, memory_mb: int) -> str:
    """Describe the memory limit and the peak use."""
    if not group:
        return "not bounded (no control group)"
    used = next((group / peak for _, peak in GROUPS.values() if (group / peak).exists()), None)
    return f"{memory_mb} MiB, of which {int(used.read_text()) / 2**20:.0f} were used at most" if used else "bounded"


async def attacked(
    server: Server, options: argparse.Namespace
) -> tuple[bool, Counter[int], Counter[int], dict[str, float]]:
    """Send files and speech at once; return whether the service lives, their statuses, and the peak memory in MB."""
    until = time.monotonic() + options.seconds
    bombs, speech = Counter[int](), Counter[int]()
    bomb = mp4_promising(options.samples)
    clips = [path.read_bytes() for path in spoken_clips()]
    most = {"service": 0.0, "workers": 0.0, "count": 0}
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=httpx.Limits(max_connections=None)) as http:

        async def sent(files: Callable[[], bytes], statuses: Counter[int]) -> None:
            while time.monotonic() < until:
                try:
                    answer = await http.post("/v1/audio/transcriptions", files={"file": ("file", files())})
                    statuses[answer.status_code] += 1
                except httpx.HTTPError:
                    statuses[0] += 1
                    await asyncio.sleep(0.1)

        async def watched() -> None:
            while time.monotonic() < until:
                await asyncio.to_thread(measure, server.pid, most)
                await asyncio.sleep(0.1)

        turn = iter(range(10**9))
        await asyncio.gather(
            watched(),
            *(sent(lambda: bomb, bombs) for _ in range(options.at_once)),
            *(sent(lambda: clips[next(turn) % len(clips)], speech) for _ in range(2)),
        )
        try:
            alive = (await http.get("/readyz")).is_success
        except httpx.HTTPError:
            alive = False
    return alive, bombs, speech, most


def measure(pid: int, most: dict[str, float]) -> None:
    """Update the peaks of the service's and its workers' memory."""
    with suppress(OSError, StopIteration):
        most["service"] = max(most["service"], resident_mb(pid))
        workers = decode_workers(pid)
        most["count"] = max(most["count"], len(workers))
        most["workers"] = max(most["workers"], sum(map(resident_mb, workers)))


def count_words(statuses: Counter[int]) -> str:
    """Describe the number of answers of each status; status 0 is no answer."""
    return ", ".join(f"{count} got {status}" for status, count in sorted(statuses.items())) or "none"


if __name__ == "__main__":
    sys.exit(client.run(main))
