"""Replicas that start together on one machine: the weights are downloaded once, from a hub that this test plays."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import service_process

PATH = "/owner/name/resolve/main/name.nemo"
WEIGHTS = bytes(range(256)) * 64
PROGRAM = """
import filelock
acquire = filelock.BaseFileLock.acquire

def tell(self, *args, **kwargs):
    print("asks for the lock", flush=True)
    return acquire(self, *args, **kwargs)

filelock.BaseFileLock.acquire = tell  # before the hub's client asks

from src.engine.checkpoint import find_checkpoint
print(find_checkpoint("owner/name"), flush=True)
"""


class Hub(ThreadingHTTPServer):
    """A hub with one model of one file. The first download goes on only once `may_go_on` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.downloads = 0
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()


class Answer(BaseHTTPRequestHandler):
    """The answers about that file, as far as the client needs them."""

    def do_HEAD(self) -> None:
        """Say which file it is."""
        self.send_response(200)
        for name, value in (("etag", '"1"'), ("x-repo-commit", "c" * 40), ("content-length", str(len(WEIGHTS)))):
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        """Send it."""
        assert isinstance(self.server, Hub)
        if self.path != PATH:  # the client asks about itself, too
            self.send_error(404)
            return
        self.server.downloads += 1
        self.server.has_begun.set()
        if self.server.downloads == 1:
            self.server.may_go_on.wait()
        self.do_HEAD()
        self.wfile.write(WEIGHTS)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.may_go_on.set()
        server.shutdown()


def replica(hub: Hub, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a process that finds the model as a replica does; it says when it asks for the lock, and what it found."""
    env = service_process.environment(tmp_path, HF_HOME=str(tmp_path / "hub"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        env.pop(name, None)
    env |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "NO_PROXY": "127.0.0.1"}
    env |= {"HF_HUB_DOWNLOAD_TIMEOUT": "600", "HF_HUB_ETAG_TIMEOUT": "600"}  # a busy machine takes its time
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, text=True)


def test_two_replicas_that_start_together_download_the_weights_once(tmp_path, hub):
    with replica(hub, tmp_path) as first:
        assert hub.has_begun.wait(300)
        with replica(hub, tmp_path) as second:
            assert second.stdout.readline() == "asks for the lock\n"
            hub.may_go_on.set()
            paths = {each.stdout.read().splitlines()[-1] for each in (first, second)}
    assert hub.downloads == 1
    (path,) = paths
    assert Path(path).read_bytes() == WEIGHTS
    assert os.listdir(tmp_path / "hub" / "hub" / "models--owner--name" / "blobs") == ["1"]  # nothing half
