"""Run the fleet: `python -m src.fleet`, as `bash scripts/fleet.sh` does."""

import argparse
import importlib.util
import os
import resource
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from src.engine.model import Model
from src.engine.nemo_model import NemoModel
from src.fleet.environment import as_exports, ray_environment, with_defaults
from src.fleet.processes import MARK, fleet_processes, kill_fleet, open_ports
from src.fleet.replica_states import ReplicaState, changes
from src.fleet.size import FleetError
from src.server.listener import authority
from src.server.server import raise_descriptor_limit
from src.settings import Settings, SettingsError

SHORT_FOLDERS = Path("/tmp")
"""Where the folders of fleets lie: a socket's path must be short."""
CLUSTER_FOLDER = SHORT_FOLDERS / "parakeet"
"""The folder on the nodes of a cluster that somebody else starts."""


def main(arguments: Sequence[str], load: Callable[[Settings], Model] = NemoModel.load) -> int:
    """Serve until a signal comes, and return the exit code: 0 after an orderly stop, else 1.

    Args:
        arguments: the command line.
        load: loads the model; must be importable by name in other processes.
    """
    parser = argparse.ArgumentParser(
        prog="python -m src.fleet", description="Serve with several replicas, by Ray Serve."
    )
    parser.add_argument("--environment", action="store_true", help="print what nodes of a cluster need, for eval")
    options = parser.parse_args(arguments)
    try:
        settings = Settings(_env_file=".env")
        if options.environment:
            print(as_exports(_defaults(settings, CLUSTER_FOLDER)), end="")
            return 0
        if importlib.util.find_spec("ray") is None:
            raise FleetError("Ray is not installed. Install it: bash scripts/fleet.sh --setup")
        _serve(settings, load)
    except (SettingsError, FleetError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(settings: Settings, load: Callable[[Settings], Model]) -> None:
    stop = _stop_event()
    raise_descriptor_limit()
    with _environment(settings) as folder:
        # Ray reads its environment when it is imported.
        from src.fleet.cluster import deployed_to_cluster, own_cluster, running_cluster
        from src.fleet.deployment import deployed, size_of_fleet

        is_own = not os.environ.get("RAY_ADDRESS")
        with own_cluster(folder, settings.replicas) if is_own else running_cluster():
            application = deployed(settings, size_of_fleet(settings), load)
            with deployed_to_cluster(application, settings, everywhere=not is_own):
                _watch(settings, folder if is_own else None, stop)
                print("Stopping: requests may finish. Ctrl-C again ends them.", flush=True)


def _watch(settings: Settings, folder: Path | None, stop: threading.Event) -> None:
    """Say where the fleet is and what becomes of its replicas, until `stop` is set."""
    from src.fleet.cluster import POLL_S, cluster_address, first_proxy, replicas, wait_until_ready, wait_until_running

    known: list[ReplicaState] = []

    def say(now: list[ReplicaState] | None) -> None:
        nonlocal known
        if now is not None:
            for line in changes(known, now):
                print(line, flush=True)
            known = now

    wait_until_running(stop, say)
    url = f"http://{authority(_reached(settings.host) if folder else first_proxy(), settings.port)}"
    wait_until_ready(url, stop)
    if not stop.is_set():
        say(replicas())
        print("\n".join(_welcome(url, cluster_address(), folder)), flush=True)
    while not stop.wait(POLL_S):
        say(replicas())


def _welcome(url: str, cluster: str, folder: Path | None) -> Iterator[str]:
    yield f"Serving at {url}; ready while {url}/readyz answers 200."
    if folder:
        yield f"Ray's tools join by RAY_ADDRESS={cluster} RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={folder}/token."
        ports = open_ports(fleet_processes(str(folder)))
        for is_public, who in ((True, "Open to other machines"), (False, "Open to this machine")):
            named = ", ".join(f"{each.port} ({each.program})" for each in ports if each.is_public == is_public)
            yield f"{who}: {named or 'nothing'}."
    yield "Ctrl-C stops it."


@contextmanager
def _environment(settings: Settings) -> Iterator[Path]:
    """Set the environment of Ray; give the folder of its files. At the end, nothing of them is left on this machine."""
    folder = Path(tempfile.mkdtemp(prefix="pk-", dir=SHORT_FOLDERS))
    try:
        os.environ.update(_defaults(settings, folder))
        if not os.environ.get("RAY_ADDRESS"):
            token = folder / "token"
            token.touch(0o600)
            token.write_text(secrets.token_hex(32))
            os.environ.update({MARK: str(folder), "RAY_AUTH_TOKEN_PATH": str(token)})
        yield folder
    finally:
        kill_fleet(str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _defaults(settings: Settings, folder: Path) -> dict[str, str]:
    max_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return with_defaults(os.environ, ray_environment(settings, folder, max_files))


def _reached(host: str) -> str:
    """Return where a client on this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "*": "127.0.0.1"}.get(host, host)  # HAProxy takes `::` for both


def _stop_event() -> threading.Event:
    """Return an event that SIGINT or SIGTERM sets; a second signal is a KeyboardInterrupt."""
    stop = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return stop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
