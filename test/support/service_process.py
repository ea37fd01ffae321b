"""The service in a process of its own, on a model that the test chooses."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
from ports import reserved_port

ROOT = Path(__file__).parents[2]


WITH_SLOW_MODEL = (
    "from fakes import SlowModel; from src.__main__ import run_and_exit; run_and_exit(lambda _: SlowModel())"
)


WITH_VERY_SLOW_MODEL = WITH_SLOW_MODEL.replace("SlowModel()", "SlowModel(batch_s=1.0)")


WITH_HELD_MODEL = (
    "from fakes import HeldModel; from src.__main__ import run_and_exit; run_and_exit(lambda _: HeldModel())"
)


WITH_QUICK_MODEL = WITH_HELD_MODEL.replace("HeldModel()", "HeldModel(held=False)")


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PARAKEET_")}
    paths = [
        str(ROOT),
        str(ROOT / "test" / "support"),
        os.environ.get("PYTHONPATH"),
    ]  # where the packages are on some machines
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PARAKEET_LOG_DIR": str(tmp_path / "logs")}
    return clean | ours | settings


@contextmanager
def service_of(
    program: str, tmp_path: Path, stderr: int | IO[bytes] = subprocess.PIPE, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the service by `program` in a process of its own; give the process, once it is ready, and its port."""
    with reserved_port() as port:
        where = {"PARAKEET_HOST": "127.0.0.1", "PARAKEET_PORT": str(port), "PARAKEET_MAX_QUEUE_WAIT_S": "60"}
        env = environment(tmp_path, **where | settings)
        process = subprocess.Popen([sys.executable, "-c", program], env=env, cwd=tmp_path, stderr=stderr)
        try:
            while not is_ready(port):
                assert process.poll() is None
                time.sleep(0.01)
            yield process, port
        finally:
            process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()


def is_ready(port: int) -> bool:
    """Whether the service at a port admits requests."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=300).is_success
    except httpx.TransportError:
        return False
