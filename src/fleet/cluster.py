"""Ray: a cluster that this process starts on this machine, or one that runs already, and the application on it."""

import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.context import _get_global_client

from src.fleet.deployment import APPLICATION, GRACE_S
from src.fleet.processes import kill_fleet
from src.fleet.replica_states import ReplicaState, failure, replica_states
from src.fleet.size import FleetError
from src.settings import Settings

KEEP_ALIVE_S = 75
"""How long replicas keep idle connections. HAProxy drops them sooner, so it sends nothing to one that has just gone."""
POLL_S = 0.5
KILL_S = 30.0
"""How much longer than their grace period Ray may take for the end of replicas."""
ATTEMPTS = 3
"""Ray gives its first process 30 s, which a machine that is very busy does not always do."""
OBJECT_STORE_BYTES = 80_000_000
"""Ray's least is 75 MB. Requests do not go through the object store."""


@contextmanager
def own_cluster(folder: Path, replicas: int | None) -> Iterator[None]:
    """Run Ray on this machine until the block ends; its files lie in `folder`.

    Args:
        folder: exists, and its path is short (see `ray_environment`).
        replicas: how many are to have room without GPUs, where they share the cores.

    Raises:
        FleetError: Ray does not start.
    """
    cores = max(os.cpu_count() or 1, 2 * (replicas or 1))  # twice: an update starts new ones before it stops old ones
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            _start_ray(folder, cores)
            break
        except Exception as error:  # it has no type of its own
            if not attempts_left:
                raise FleetError(f"Ray does not start: {error}") from None
            kill_fleet(str(folder))  # Ray leaves what it has started
    try:
        yield
    finally:
        ray.shutdown()


def _start_ray(folder: Path, cores: int) -> None:
    ray.init(
        address="local",
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=str(folder),
    )


@contextmanager
def running_cluster() -> Iterator[None]:
    """Be connected to the cluster at RAY_ADDRESS until the block ends.

    Raises:
        FleetError: it cannot be joined.
    """
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # of many kinds: no cluster, no token, another version of Ray or Python
        raise FleetError(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']} cannot be joined: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def deployed_to_cluster(application: Any, settings: Settings, everywhere: bool) -> Iterator[None]:
    """Run an application of Serve's until the block ends; then its replicas finish their requests and end.

    Args:
        application: a `ray.serve.Application`.
        settings: the address to listen on.
        everywhere: whether each node listens, or only the first.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    http = {"host": settings.host, "port": settings.port, "keep_alive_timeout_s": KEEP_ALIVE_S}
    with suppress(TimeoutError):  # it waits a minute for HAProxy; `wait_until_ready` waits longer
        serve.start(http_options=http, proxy_location="EveryNode" if everywhere else "HeadOnly")
    # An autoscaler of the operator's may change the number of replicas (docs.ray.io, "External scaling").
    target = serve.RunTarget(application, name=APPLICATION, route_prefix="/", external_scaler_enabled=True)
    try:
        serve.run_many([target], wait_for_applications_running=False)
        yield
    finally:
        _end_application()
        if not serve.status().applications:
            serve.shutdown()


def _end_application() -> None:
    serve.delete(APPLICATION, _blocking=False)
    deadline = time.monotonic() + GRACE_S + KILL_S
    while APPLICATION in serve.status().applications and time.monotonic() < deadline:
        time.sleep(POLL_S)


def wait_until_running(stop: threading.Event, say: Callable[[list[ReplicaState] | None], None]) -> None:
    """Return once all replicas serve, or `stop` is set; meanwhile call `say` with the replicas.

    Raises:
        FleetError: they cannot be started; the message says why.
    """
    while not stop.wait(POLL_S):
        say(replicas())
        overview = serve.status().applications.get(APPLICATION)
        if overview and overview.status == "RUNNING":
            return
        if overview and overview.status == "DEPLOY_FAILED":
            messages = [each.message for each in overview.deployments.values()]
            raise FleetError(f"The replicas do not start: {failure([*messages, overview.message])}")


def wait_until_ready(url: str, stop: threading.Event) -> None:
    """Return once the service at `url` admits requests, or `stop` is set."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not stop.is_set():
        try:
            direct.open(f"{url}/readyz", timeout=5).close()
            return
        except OSError:  # an answer that is not 200 among them
            stop.wait(POLL_S)


def replicas() -> list[ReplicaState] | None:
    """Return the replicas of the application; None if Ray's controller does not answer now, as Ray restarts it."""
    try:
        return replica_states(_get_global_client().get_serve_details(), APPLICATION)
    except ray.exceptions.RayActorError:
        return None


def first_proxy() -> str:
    """Return the address of a machine on which the cluster takes requests."""
    proxies = _get_global_client().get_serve_details().get("proxies", {}).values()
    return next((str(each["node_ip"]) for each in proxies if each.get("node_ip")), "127.0.0.1")


def cluster_address() -> str:
    """Return the address by which other programs join the cluster, for RAY_ADDRESS."""
    return str(ray.get_runtime_context().gcs_address)
