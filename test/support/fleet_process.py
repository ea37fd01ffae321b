"""The fleet in processes of its own, on a model that answers at once: what it prints, and who serves."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import service_process

EVERY_S = 0.5
"""The model hears a word in each so many seconds."""
PROGRAM = f"""
import sys
from functools import partial
import search_path
from instant_model import InstantModel
from src.fleet.__main__ import main
sys.exit(main([], partial(InstantModel, every_s={EVERY_S})))
"""
TINY = "import sys; from src.fleet.__main__ import main; sys.exit(main([]))"
"""The same on the bundled checkpoint."""
SCALE = """
import logging, sys
import ray
from ray.serve._private.common import DeploymentID
from ray.serve.context import _get_global_client
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
deployment = DeploymentID(name="Parakeet", app_name="parakeet")
ray.get(_get_global_client()._controller.update_deployment_replicas.remote(deployment, int(sys.argv[2])))
"""
HEALTHY = re.compile(r"Replica (\S+) \(process (\d+) on \S+\) is healthy\.")


@dataclass
class Fleet:
    """A running fleet: its process, the port of its service, and the lines that it has printed so far."""

    process: subprocess.Popen[str]
    port: int
    log_dir: Path
    lines: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        """Read what it prints to its end; runs in a thread of its own."""
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self.lines.append("END")
            self._news.notify_all()

    def printed(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait for a line that contains a pattern, and return the match; fail if the fleet ends without it."""
        with self._news:
            while True:
                found = [match for line in self.lines[after:] if (match := re.search(pattern, line))]
                if found:
                    return found[0]
                assert "END" not in self.lines, "\n".join(self.lines)
                self._news.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def replicas(self) -> dict[str, int]:
        """The process of each replica that is healthy, by its name."""
        found: dict[str, int] = {}
        for line in list(self.lines):
            if match := HEALTHY.match(line):
                found[match[1]] = int(match[2])
            elif match := re.match(r"Replica (\S+) ", line):
                found.pop(match[1], None)
        return found

    @property
    def folder(self) -> str:
        """The folder of its files, by which its processes are known."""
        environment = Path(f"/proc/{next(iter(self.replicas.values()))}/environ").read_bytes().split(b"\0")
        return next(each.partition(b"=")[2].decode() for each in environment if each.startswith(b"PARAKEET_FLEET="))


@contextmanager
def fleet_of(tmp_path: Path, port: int, program: str = PROGRAM, **settings: str) -> Iterator[Fleet]:
    """Run a fleet until the block ends. It is not ready yet."""
    ours = {"PARAKEET_HOST": "127.0.0.1", "PARAKEET_PORT": str(port), "PARAKEET_MODEL_ID": "tiny"}
    env = service_process.environment(tmp_path, **ours | settings)
    env["PYTHONPATH"] += f"{os.pathsep}{service_process.ROOT / 'test' / 'benches'}"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    fleet = Fleet(process, port, tmp_path / "logs")
    reader = threading.Thread(target=fleet.read)
    reader.start()
    try:
        yield fleet
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait()
        reader.join()


def scale(fleet: Fleet, replicas: int) -> None:
    """Change the number of a fleet's replicas, as an autoscaler of the operator's does."""
    told = fleet.printed(r"RAY_ADDRESS=(\S+) RAY_AUTH_MODE=(\S+) RAY_AUTH_TOKEN_PATH=(\S+)\.$")
    env = os.environ | {"RAY_AUTH_MODE": told[2], "RAY_AUTH_TOKEN_PATH": told[3]}
    subprocess.run([sys.executable, "-c", SCALE, told[1], str(replicas)], env=env, check=True)
