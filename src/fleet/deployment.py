"""The deployment for Ray Serve: `src.fleet` runs it, and `serve deploy` by its name in scripts/fleet.yaml."""

import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import ray
from pydantic import SecretStr
from ray import serve

from src.engine.model import Model
from src.engine.nemo_model import NemoModel
from src.fleet.environment import uses_haproxy
from src.fleet.replica import Replica
from src.fleet.size import FleetError, FleetSize, Machines
from src.settings import Settings

APPLICATION = "parakeet"
DEPLOYMENT = "Parakeet"
GRACE_S = 60.0
"""Seconds that a replica has to finish its requests, from when it is told to end."""


def build(arguments: Mapping[str, str]) -> Any:
    """Return the application for `serve deploy`, with the settings of the environment; Ray calls it on the cluster.

    The cluster may still grow, so the size is that of the settings, whatever there is: `auto` is one replica. The file
    that is deployed may say otherwise.

    Raises:
        FleetError: it is given arguments.
        SettingsError: a setting is invalid.
    """
    if arguments:
        raise FleetError(f"Settings are environment variables such as PARAKEET_MODEL_ID, not arguments: {arguments}")
    settings = Settings()
    gpus_each = 0.0 if settings.device == "cpu" else settings.replica_gpus
    size = FleetSize(settings.replicas or 1, gpus_each, int(1 / gpus_each) if gpus_each else 1, has_spare=False)
    return deployed(settings, size, NemoModel.load)


def size_of_fleet(settings: Settings) -> FleetSize:
    """Return the size that settings ask for on the cluster that this process is connected to.

    Raises:
        FleetError: there are not enough GPUs.
    """
    resources = ray.cluster_resources()
    nodes = sum(each["Alive"] for each in ray.nodes())
    gpus = 0.0 if settings.device == "cpu" else resources.get("GPU", 0.0)
    return FleetSize.of(settings.replicas, settings.replica_gpus, Machines(nodes, gpus, resources.get("CPU", 0.0)))


def deployed(settings: Settings, size: FleetSize, load: Callable[[Settings], Model]) -> Any:
    """Return the application, a `ray.serve.Application`: replicas of one deployment.

    Args:
        settings: the service's. All replicas get the same.
        size: how many there are.
        load: loads the model; named by reference, so each node must have its module.
    """
    deployment = serve.deployment(serve.ingress(None)(Replica)).options(**options(size))
    return deployment.bind(with_common_secret(settings), load, size.on_each_node, replica_name)


def options(size: FleetSize) -> dict[str, Any]:
    """Return the deployment's options (docs.ray.io, "Configure Ray Serve deployments")."""
    return {
        "name": DEPLOYMENT,
        "num_replicas": size.replicas,
        "ray_actor_options": {"num_cpus": 1, "num_gpus": size.gpus_each},
        # Ray's own limits would answer with errors of its own. Those of the service answer 429 and 503 as OpenAI does.
        "max_ongoing_requests": 1024,
        "max_queued_requests": -1,
        "graceful_shutdown_timeout_s": GRACE_S,
        "graceful_shutdown_wait_loop_s": 0.5,
        "health_check_period_s": 2,
        "health_check_timeout_s": 5,
        "max_constructor_retry_count": 2,
        "max_surge_percent": 1 if size.has_spare else 0,  # of the replicas, rounded up
    } | _router_options()


def replica_name() -> str:
    """Return the name of the replica whose process this is."""
    return str(serve.get_replica_context().replica_tag)


def with_common_secret(settings: Settings) -> Settings:
    """Return settings by which a temporary key of one replica is valid at the others, also without API keys."""
    if settings.keys or settings.secret_key.get_secret_value():
        return settings
    return settings.model_copy(update={"secret_key": SecretStr(secrets.token_hex(32))})


def _router_options() -> dict[str, Any]:
    """Return the choice of replicas by Ray's own proxy. HAProxy has its own, and Ray refuses another."""
    if uses_haproxy(os.environ):
        return {}
    from ray.serve.config import RequestRouterConfig

    router = RequestRouterConfig(
        request_router_class="src.fleet.request_router:QueueRouter", request_routing_stats_period_s=0.5
    )
    return {"request_router_config": router}
