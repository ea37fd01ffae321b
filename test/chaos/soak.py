"""Keep the service under mixed load while all kinds of faults happen, and account for every answer.

python3 test/chaos/soak.py [--minutes M] [--model MODEL] [--seed N] [--concurrency N] [--clips N]

The service runs in a process of its own (`measured_service.py`), which is restarted when it ends. HTTP requests in
several formats and realtime sessions are sent all the time, while decode workers are killed, clients disconnect, files
are broken, the disk is full, the log folder is gone, and so on (`faults.py`). In the first two fifths of the time the
service is stopped by SIGTERM or killed every other minute. After a rest, one process runs under constant load to the
end; memory is measured in the second half of the whole time.

The right answer is that of the same call alone, at the start. The table is saved as `test/results/soak.txt` and
`.json`, and the service's output as `soak-server.log`. The exit code is 0 only if every call had its right answer, a
rejection, or a loss that a fault at that time excuses, the metrics log agrees, the service ended only when and as it
was asked to, and memory and descriptors have not grown.
"""

import argparse
import asyncio
import csv
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).resolve().parents[1] / "benches"))

import search_path
import aiohttp
import client
import client_report
import metrics_audit
import traffic
from attempt import Attempt
from call import CLIPS, MIN_CLIPS, Call, new_calls
from caller import Caller
from faults import Faults
from gauge import Gauge
from outcome import Growth, Outcome
from process_tree import Reading
from small_disk import SmallDisk, small_disk
from soak_report import table
from supervisor import Supervisor
from trend import floor_slope_per_min
from verdict import Answer, Judge

STORM = 0.4
"""Share of the time in which the process is ended repeatedly. In the tenth after it, the last process takes the memory
that the load needs: growth after that is a leak."""
FAULT_GAP_S = 2.5
STOP_GAP_S = 120.0
HOLD_S = 25.0
"""Duration of idle connections and slow uploads, unless the service ends them."""
PAUSE_S = 0.05
"""Pause of a worker after an answer, so that the service is idle at times."""
DISK_MB = 8
DISK_MB_PER_MIN = 1
"""Size of the log disk: more than the metrics of a minute."""
UNWRITTEN_S = 1.0
"""A metrics line may be lost if a full disk or SIGKILL follows its answer this soon."""
MEASURED_SERVICE = Path(__file__).with_name("measured_service.py")
SMALL_QUEUE = {"PARAKEET_QUEUE_MAX_FACTOR": "8", "PARAKEET_CHUNK_SECONDS": "30"}
"""Fewer slots than a burst has calls, and several chunks for a long file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    options.results.mkdir(parents=True, exist_ok=True)
    outcome = asyncio.run(soak(options))
    text = table(outcome)
    print(text, end="")
    client_report.save(options.results / "soak.txt", text)
    figures = {"model": options.model, "minutes": options.minutes, "seed": options.seed} | outcome.figures()
    client_report.save(options.results / "soak.json", json.dumps(figures, indent=2) + "\n")
    return 1 if outcome.findings else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Keep the service under load while all kinds of things go wrong.")
    parser.add_argument("--minutes", type=client.positive, default=20.0, metavar="M", help="(default: %(default)g)")
    parser.add_argument("--model", default="tiny", help="tiny, a path or a hub id (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of calls and faults (default: %(default)s)")
    parser.add_argument(
        "--concurrency", type=client.positive_int, default=5, metavar="N", help="calls at once (default: %(default)s)"
    )
    parser.add_argument(
        "--clips", type=client.positive_int, default=len(CLIPS), metavar="N", help="of them (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    if not MIN_CLIPS <= options.clips <= len(CLIPS):
        parser.error(f"--clips must be {MIN_CLIPS} to {len(CLIPS)}")
    return options


async def soak(options: argparse.Namespace) -> Outcome:
    """Run the soak test; raises `client.Failure` if it cannot."""
    log = options.results / "soak-server.log"
    log.unlink(missing_ok=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        calls = new_calls(CLIPS[: options.clips], folder)
        with small_disk(folder / "logs", DISK_MB + round(DISK_MB_PER_MIN * options.minutes)) as disk:
            settings = {"PARAKEET_MODEL_ID": options.model, "PARAKEET_LOG_DIR": str(disk.folder)} | SMALL_QUEUE
            in_use = folder / "in_use.txt"
            supervisor = Supervisor(log, (str(MEASURED_SERVICE), str(in_use)), **settings)
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=client.KEEP_ALIVE_S)
            async with aiohttp.ClientSession(connector=connector) as http:
                test = Soak(options, supervisor, disk, Caller(supervisor.url, http), calls, Gauge(supervisor, in_use))
                async with supervisor.running():
                    await test.run()
            return test.outcome(log.read_text(errors="replace").count("Traceback (most recent call last)"))


class Soak:
    """The course of a soak test against the running service of a supervisor."""

    def __init__(
        self,
        options: argparse.Namespace,
        supervisor: Supervisor,
        disk: SmallDisk,
        caller: Caller,
        calls: list[Call],
        gauge: Gauge,
    ) -> None:
        self._options = options
        self._total_s = options.minutes * 60
        self._chance = random.Random(options.seed)
        self._supervisor = supervisor
        self._disk = disk
        self._caller = caller
        self._calls = calls
        self._faults = Faults(caller, supervisor, disk, calls, self._chance, min(HOLD_S, self._total_s / 4))
        self._gauge = gauge
        self._alone: dict[str, Answer] = {}
        self._half_time_s = self._load_ended_s = 0.0
        self._at_begin: Reading | None = None
        self._at_end: Reading | None = None

    async def run(self) -> None:
        """Run the part with stops and the part without, each with a rest after it."""
        self._alone = await traffic.answers_alone(self._caller, self._calls)
        async with self._gauge.watching():
            storm_s = STORM * self._total_s
            await self._load(storm_s, stops=max(1, round(storm_s / STOP_GAP_S)))
            self._at_begin = await self._gauge.at_rest()
            self._half_time_s = time.monotonic() + (0.5 - STORM) * self._total_s
            await self._load(self._total_s - storm_s, stops=0)
            self._load_ended_s = time.monotonic()
            self._at_end = await self._gauge.at_rest()

    def outcome(self, tracebacks: int) -> Outcome:
        """Return the outcome, once the service has stopped."""
        judge = Judge(self._alone, self._supervisor.lives, self._faults.workers_killed_s)
        lines = metrics_audit.logged(self._disk.folder)
        return Outcome(
            judged=[(attempt, judge.verdict(attempt)) for attempt in self._caller.attempts],
            visits=self._faults.visits,
            faults=self._faults.counts,
            lives=self._supervisor.lives,
            audit=metrics_audit.audit(self._caller.attempts, lines, self._may_be_unwritten),
            half_time_s=self._half_time_s,
            at_begin=self._at_begin,
            at_end=self._at_end,
            readings=self._gauge.readings,
            growth=self._growth(),
            disk_mounted=self._disk.mounted,
            like_reference=self._like_reference(),
            tracebacks=tracebacks,
        )

    async def _load(self, seconds: float, stops: int) -> None:
        """Send calls and make faults for `seconds`, and end the service's process `stops` times."""
        gap_s = min(FAULT_GAP_S, seconds / self._faults.kinds)
        dues_s = [(number + self._chance.random()) * gap_s for number in range(int(seconds / gap_s))]
        calls = traffic.mixed(self._calls, self._chance)
        until_s = time.monotonic() + seconds
        await asyncio.gather(
            *(traffic.keep_calling(self._caller, calls, PAUSE_S, until_s) for _ in range(self._options.concurrency)),
            *(self._make(kind, due_s) for due_s, kind in zip(dues_s, self._faults.in_turn(), strict=False)),
            self._stop_and_go([seconds * (number + 0.5) / stops for number in range(stops)]),
        )

    async def _make(self, kind: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._faults.make(kind)

    async def _stop_and_go(self, after_s: Sequence[float]) -> None:
        """End the process at each of these times, or once it is ready again, by SIGTERM and SIGKILL in turn."""
        began_s = time.monotonic()
        for due_s, how in zip(after_s, cycle((signal.SIGTERM, signal.SIGKILL)), strict=False):
            await asyncio.sleep(max(0.0, began_s + due_s - time.monotonic()))
            await self._faults.end_life(how)

    def _may_be_unwritten(self, attempt: Attempt) -> bool:
        killed = (life for life in self._supervisor.lives if life.end_signal == signal.SIGKILL)
        return self._disk.was_full(attempt.ended_s, UNWRITTEN_S) or any(
            0 <= life.ended_s - attempt.ended_s <= UNWRITTEN_S for life in killed
        )

    def _growth(self) -> Growth:
        fields = ("rss_mb", "children_rss_mb", "descriptors", "threads")
        under_load = (self._half_time_s, self._load_ended_s)
        slopes = {each: self._gauge.growth_per_min(each, *under_load) for each in fields}
        floor = self._gauge.growth_per_min("rss_mb", *under_load, floor_slope_per_min)
        return Growth(rss_floor_mb=floor, in_use_mb=self._gauge.in_use_growth_per_min(*under_load), **slopes)

    def _like_reference(self) -> str:
        """Describe how many of the clips, as files, have their reference text."""
        with (client.CLIPS / "transcripts.tsv").open() as file:
            spoken = {row["file"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}
        clips = CLIPS[: self._options.clips]
        same = sum(self._alone[f"json {clip}"].text == spoken[f"{clip}.flac"] for clip in clips)
        return f"{same} of {len(clips)} clips have the text that was spoken"


if __name__ == "__main__":
    sys.exit(client.run(main))
