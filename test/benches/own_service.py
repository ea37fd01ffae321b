"""A server in a process of its own on a free port, for the benchmarks, and its cost by /proc."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import client
from bench_model import INSTANT, checkpoint
from ports import reserved_port

READY_S = 300.0
"""Parakeet's shape takes more than a minute where cores are few."""
TICKS = os.sysconf("SC_CLK_TCK")
OUR_SERVICE = ("-m", "src")
INSTANT_SERVICE = (str(Path(__file__).with_name("instant_model.py")),)
EVENT_LOOP = "event loop"
"""Name of the main thread, which runs the event loop."""
THIS, AGAINST = "this", "against"
"""Names of the servers of `serving_both`."""


@dataclass(frozen=True)
class Server:
    """A running server: its address and process, the service's metrics log, and the file of its output."""

    url: str
    pid: int
    metrics: Path
    log: Path


@contextmanager
def serving(
    model: str, program: Sequence[str] | None = None, top: Path = client.TOP, /, **settings: str
) -> Iterator[Server]:
    """Run `program`, arguments of this Python, until the block ends; it is `service_of` the model if left out.

    `model` is the value of a benchmark's `--model`, `top` the checkout of the project whose modules the program gets.
    It also gets PARAKEET_MODEL_ID, PARAKEET_PORT and PARAKEET_LOG_DIR in its environment, and `settings`. It does not
    see the project's `.env`.

    Raises:
        client.Failure: it does not start, or the model cannot be made; the message has the last line of the output.
    """
    model_id = checkpoint(model)
    with reserved_port() as port, TemporaryDirectory() as logs:
        settings = {"PARAKEET_MODEL_ID": model_id, "PARAKEET_PORT": str(port), "PARAKEET_LOG_DIR": logs} | settings
        paths = os.pathsep.join(filter(None, [str(top), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": paths} | settings
        output = Path(logs) / "server.log"
        with output.open("w") as log:
            command = [sys.executable, *(program or service_of(model))]
            process = subprocess.Popen(command, cwd=logs, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_ready(process, port, output)
            yield Server(f"http://127.0.0.1:{port}", process.pid, Path(logs) / "metrics" / "metrics.log", output)
        finally:
            process.terminate()
            process.wait()


def service_of(model: str) -> tuple[str, ...]:
    """Return the arguments with which Python runs the service on what `--model` names."""
    return INSTANT_SERVICE if model == INSTANT else OUR_SERVICE


@contextmanager
def serving_both(
    model: str, program: Callable[[Path], Sequence[str]], against: Path | None, **settings: str
) -> Iterator[dict[str, Server]]:
    """Run the service of this checkout until the block ends, and beside it that of another one, if there is one.

    Yield the servers by name, the other one first. The rest is as for `serving`; `program` is called with the folder of
    a checkout.

    Raises:
        client.Failure: a server does not start, or `against` is not a checkout of the project.
    """
    tops = {THIS: client.TOP}
    if against is not None:
        if not (against / "src" / "__main__.py").exists():
            raise client.Failure(f"{against} is not a checkout of this project (--against)")
        tops = {f"{AGAINST} {against.name}": against.resolve(), **tops}
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(model, program(top), top, **settings)) for name, top in tops.items()}


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    last = (log.read_text(errors="replace").splitlines() or ["it said nothing"])[-1]
    raise client.Failure(f"A server did not come up: {last}")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, including ended threads (proc(5), stat)."""
    return _stat(Path(f"/proc/{pid}/stat"))[1]


def cpu_of_threads_s(pid: int) -> dict[str, float]:
    """Return the CPU seconds of a process's live threads, by name without its number, sorted by name.

    The main thread is `EVENT_LOOP`. The other names are those that the process has given the system, as Python does
    from 3.14 on.
    """
    spent: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, seconds = _stat(task / "stat")
        except OSError:  # the thread has just ended
            continue
        name = EVENT_LOOP if task.name == str(pid) else name.rstrip("0123456789").rstrip("_-")
        spent[name] = spent.get(name, 0.0) + seconds
    return dict(sorted(spent.items()))


def _stat(path: Path) -> tuple[str, float]:
    """Return the name in a `stat` file, and the sum of user and system time."""
    head, _, tail = path.read_text().rpartition(")")
    fields = tail.split()
    return head.partition("(")[2], (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    return _memory_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """Return the most resident memory that a process has had, in MB."""
    return _memory_mb(pid, "VmHWM")


def _memory_mb(pid: int, name: str) -> float:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith(name))
    return int(line.split()[1]) / 1000
