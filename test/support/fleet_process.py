"""The fleet in processes of its own, on a model that answers at once: what it prints, and who serves."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import service_process
from keys import KEY
from media import SAMPLE_RATE
from realtime_client import Client, session_at

from src.metrics.load import Load, read_loads

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
UPDATE = f"""
import os, sys
from functools import partial
from pathlib import Path
import search_path
from src.fleet.environment import ray_environment, with_defaults
from src.settings import Settings
settings = Settings()
os.environ.update(with_defaults(os.environ, ray_environment(settings, Path(sys.argv[2]), 65536)))
import ray
from ray import serve
from src.fleet.deployment import APPLICATION, deployed, size_of_fleet
from instant_model import InstantModel
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
application = deployed(settings, size_of_fleet(settings), partial(InstantModel, every_s={EVERY_S}))
target = serve.RunTarget(application, name=APPLICATION, route_prefix="/", external_scaler_enabled=True)
serve.run_many([target], wait_for_applications_running=False)
"""
HEALTHY = re.compile(r"Replica (\S+) \(process (\d+) on \S+\) is healthy\.")


@dataclass
class Fleet:
    """A running fleet: its process and environment, the port of its service, and the lines printed so far."""

    process: subprocess.Popen[str]
    port: int
    log_dir: Path
    env: dict[str, str]
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

    def at_each(self, number: Callable[[Load], int]) -> dict[str, int]:
        """Return a number in the load that each healthy replica has told, by its name; 0 if it has told nothing yet.

        They tell it every five seconds.
        """
        told = {each.replica: each.load for each in read_loads(self.metrics)}
        return {name: number(told[name]) if name in told else 0 for name in self.replicas}

    @property
    def metrics(self) -> Path:
        """The metrics log of all replicas."""
        return self.log_dir / "metrics" / "metrics.log"

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
    fleet = Fleet(process, port, tmp_path / "logs", env)
    reader = threading.Thread(target=fleet.read)
    reader.start()
    try:
        yield fleet
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait()
        reader.join()
        if process.stdout:
            process.stdout.close()


def scale(fleet: Fleet, replicas: int) -> None:
    """Change the number of a fleet's replicas, as an autoscaler of the operator's does."""
    _run_beside(fleet, SCALE, str(replicas))


def update(fleet: Fleet) -> None:
    """Deploy the application of `PROGRAM` once more: all replicas are replaced."""
    _run_beside(fleet, UPDATE, fleet.folder)


def _run_beside(fleet: Fleet, program: str, *arguments: str) -> None:
    """Run a program that joins the fleet's Ray at the address that is its first argument."""
    told = fleet.printed(r"RAY_ADDRESS=(\S+) RAY_AUTH_MODE=(\S+) RAY_AUTH_TOKEN_PATH=(\S+)\.$")
    env = fleet.env | {"RAY_AUTH_MODE": told[2], "RAY_AUTH_TOKEN_PATH": told[3]}
    subprocess.run([sys.executable, "-c", program, told[1], *arguments], env=env, cwd=fleet.log_dir.parent, check=True)


@contextmanager
def session(port: int, key: str = KEY) -> Iterator[Client]:
    """Open a realtime session without turn detection at a port."""
    query = f"?intent=transcription&sample_rate={SAMPLE_RATE}"
    with session_at(port, query, additional_headers={"authorization": f"Bearer {key}"}, max_queue=None) as client:
        client.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        yield client
