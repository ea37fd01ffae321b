"""Check the service on this machine's GPU: its texts, the speed of the engine, and the speed of the whole service.

python3 test/benches/gpu_check.py [--model MODEL] [--only PART ...] [--limit S] [--results DIR]
python3 test/benches/gpu_check.py --device cpu --model tiny --quick      (a rehearsal without a GPU)

`bash scripts/gpu_check.sh` runs it in the project's environment. Each part is a process of its own, so that one that
hangs or dies costs the others only its time:

machine  hardware and software, the rate of a matrix product, the bandwidth of a copy
tests    `test_gpu.py`
kernels  the encoder's fused steps in Triton and in plain PyTorch: their results, and how long each takes
texts    all bundled clips in bfloat16 and float16, alone and in mixed batches, against the texts of float32
engine   features, encoder, decoder and text of batches, in each way to run them, and NeMo's `transcribe()`
service  requests over HTTP, then live sessions, against the service in a process of its own

Without `--model` they run on `wide-0.6b`: the bundled checkpoint in the shape of Parakeet 0.6B, which costs as much as
that model and gives the bundled one's texts. It is made on first use in `test/results`, while the parts that do not
need it run, and needs no network.

Results go to `test/results/gpu_check.txt` and `.json` line by line, and the parts' stderr to `gpu_check.log`. The exit
code is 0 on success, 1 if a text differs or a test fails, 2 without a GPU, and 3 if a part did not finish.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import search_path
import client
from bench_model import making
from columns import Cell, columns
from gpu_part import DIFFERENT, NO_GPU
from gpu_report import Report

HERE = Path(__file__).parent
LIMIT_S = 480.0
"""Time limit of the check on an H100: the limits of its parts, and some seconds to start and end them. The time that a
part leaves is for the parts after it."""
READ_S = 5.0
"""How long the rest of a part's output is read after it has ended."""


@dataclass(frozen=True)
class Part:
    """A program in this folder and its time limit in seconds; the time left by the parts before it is added."""

    name: str
    program: str
    limit_s: float
    needs_model: bool = False
    """Whether it runs on the checkpoint of `--model`."""


PARTS = (
    Part("machine", "gpu_machine.py", 40.0),
    Part("tests", "gpu_tests.py", 100.0),
    Part("kernels", "kernels_bench.py", 35.0),
    Part("texts", "gpu_texts.py", 80.0, needs_model=True),
    Part("engine", "gpu_engine.py", 90.0, needs_model=True),
    Part("service", "gpu_service.py", 125.0, needs_model=True),
)


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: str
    code: int | None
    """None if its time was over, -N if signal N ended it."""
    wall_s: float
    error: str = ""
    """The last line of its stderr if it failed."""

    @property
    def words(self) -> str:
        """The outcome in words."""
        match self.code:
            case None:
                return "stopped: its time was over"
            case 0:
                return "done"
            case code if code == DIFFERENT:
                return "done, with differences"
            case code if code == NO_GPU:
                return "there is no GPU"
            case code if code < 0:
                return f"died of {signal.Signals(-code).name}"
        return f"failed with exit code {self.code}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    report = Report(options.results, {"date": now, "model": options.model, "device": options.device})
    report.say(f"GPU check of {now}, {options.model}")
    outcomes = run([part for part in PARTS if part.name in options.only], options, report)
    lines: list[list[Cell]] = [[each.part, each.words, each.wall_s] for each in outcomes]
    for line in columns(["part", "how it ended", "s"], lines).splitlines():
        report.say(line)
    code = exit_code(outcomes)
    report.end(exit_code=code)
    return code


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description="Prove the service on this machine's GPU.")
    parser.add_argument(
        "--model", default="wide-0.6b", help="wide-0.6b, tiny, a path or a hub id (default: %(default)s)"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="(default: %(default)s)")
    parser.add_argument("--only", choices=names, nargs="+", default=names, metavar="PART", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="little of everything, as a rehearsal")
    parser.add_argument(
        "--limit",
        type=client.positive,
        default=LIMIT_S,
        metavar="S",
        help="seconds for all parts together, of which each has a share (default: %(default)g)",
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def run(parts: Sequence[Part], options: argparse.Namespace, report: Report) -> list[Outcome]:
    """Run the parts one after the other, unless there is no GPU, and return how each ended."""
    outcomes: list[Outcome] = []
    left_s = 0.0
    with making_beside(making(options.model) if any(part.needs_model for part in parts) else None) as wait:
        for part in parts:
            limit_s = left_s + part.limit_s * options.limit / LIMIT_S
            report.say(f"\n== {part.name}, at most {limit_s:.0f} s")
            waited_s = wait(limit_s / 2) if part.needs_model else 0.0
            outcome = run_part(part.name, command(part, options, limit_s - waited_s), limit_s - waited_s, report)
            outcomes.append(outcome)
            left_s = max(0.0, limit_s - waited_s - outcome.wall_s)
            report.say(f"{part.name}: {outcome.words}, {outcome.wall_s:.1f} s\n{outcome.error}".rstrip())
            report.keep(part.name, outcome=outcome.words, wall_s=outcome.wall_s)
            if outcome.code == NO_GPU:
                break
    return outcomes


@contextmanager
def making_beside(command: Sequence[str] | None) -> Iterator[Callable[[float], float]]:
    """Make the checkpoint by a command while the block runs the parts that do not need it.

    Yields a function that waits for it, at most the given seconds, and returns how long it waited. The command's output
    is dropped: if it fails, the first part that needs the checkpoint tries again and reports the reason.
    """
    if command is None:
        yield lambda _: 0.0
        return
    quiet = subprocess.DEVNULL
    # On the CPU: the GPU's memory belongs to the parts, and the tests take nearly all of it.
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment, start_new_session=True)

    def wait(limit_s: float) -> float:
        started_s = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            process.wait(limit_s)
        return time.monotonic() - started_s

    try:
        yield wait
    finally:
        if process.poll() is None:
            end_group(process)


def command(part: Part, options: argparse.Namespace, limit_s: float) -> list[str]:
    """Return the command of a part."""
    how = ["--device", options.device, "--model", options.model, "--results", str(options.results)]
    how += ["--limit", f"{limit_s:.1f}", *(["--quick"] if options.quick else [])]
    return [sys.executable, str(HERE / part.program), *how]


def run_part(name: str, argv: Sequence[str], limit_s: float, report: Report) -> Outcome:
    """Run a part's program, pass its lines to the report as they come, and end whatever it leaves running."""
    started_s = time.monotonic()
    with report.log.open("a+b") as log:
        before = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        reader = threading.Thread(target=relay, args=(process.stdout, name, report), daemon=True)
        reader.start()
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also after Ctrl-C
            end_group(process)
            reader.join(READ_S)
        log.seek(before)
        complaints = log.read().decode(errors="replace").splitlines()
    failed = code not in (0, None, DIFFERENT, NO_GPU)
    error = next((line for line in reversed(complaints) if line.strip()), "") if failed else ""
    return Outcome(name, code, time.monotonic() - started_s, error)


def relay(lines: IO[bytes], name: str, report: Report) -> None:
    """Pass a part's lines to the report until the pipe is closed."""
    with lines:
        for line in lines:
            report.take(name, line.decode(errors="replace").rstrip("\n"))


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a part and the processes that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code of the check: that of its worst part."""
    codes = {outcome.code for outcome in outcomes}
    if NO_GPU in codes:
        return 2
    if DIFFERENT in codes:
        return 1
    return 3 if codes - {0} else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # raises, so that no part is left running
    sys.exit(client.run(main))
