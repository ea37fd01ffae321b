"""The overlay for Ray Serve on Kubernetes: its configuration is that of the fleet, and Ray knows each of its keys."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from manifests import PROJECT, Document, containers, environment, one, overlay, set_at

from src.fleet.environment import ray_environment
from src.settings import Settings

NO_RAY = "Ray is not installed: bash scripts/fleet.sh --setup"
FLEET = PROJECT / "scripts" / "fleet.yaml"


def fields_that_are_unknown(schema: Any, value: Any, path: str = "") -> list[str]:
    """The keys of a configuration that a pydantic model does not have; the model itself may ignore them."""
    inner = [each for each in [schema, *get_args(schema)] if isinstance(each, type) and hasattr(each, "model_fields")]
    if isinstance(value, list):
        (item,) = get_args(schema)
        return [name for each in value for name in fields_that_are_unknown(item, each, path)]
    if not isinstance(value, dict) or not inner:
        return []
    fields = inner[0].model_fields
    unknown = [f"{path}{name}" for name in value if name not in fields]
    for name in value.keys() & fields:
        unknown += fields_that_are_unknown(fields[name].annotation, value[name], f"{path}{name}.")
    return unknown


def ray_config() -> Document:
    return yaml.safe_load(one(overlay("rayservice"), "RayService")["spec"]["serveConfigV2"])


@pytest.mark.parametrize("config", [ray_config, lambda: yaml.safe_load(FLEET.read_text())], ids=["overlay", "fleet"])
def test_every_key_of_the_configuration_for_ray_is_one_of_its_schema(config):
    schema = pytest.importorskip(
        "ray.serve.schema", reason="Ray is not installed: bash scripts/fleet.sh --setup"
    ).ServeDeploySchema
    assert fields_that_are_unknown(schema, config()) == []
    schema.model_validate(config())


@pytest.mark.parametrize(
    ("keys", "misspelt"),
    [
        (["http_option"], "http_option"),
        (["http_options", "prot"], "http_options.prot"),
        (["applications", 0, "import_paht"], "applications.import_paht"),
        (["applications", 0, "deployments", 0, "num_replica"], "applications.deployments.num_replica"),
        (
            ["applications", 0, "deployments", 0, "ray_actor_options", "num_gpu"],
            "applications.deployments.ray_actor_options.num_gpu",
        ),
    ],
)
def test_a_misspelt_key_for_ray_is_found(keys, misspelt):
    schema = pytest.importorskip(
        "ray.serve.schema", reason="Ray is not installed: bash scripts/fleet.sh --setup"
    ).ServeDeploySchema
    config = ray_config()
    set_at(config, keys, 1)
    assert fields_that_are_unknown(schema, config) == [misspelt]


def test_the_overlay_for_ray_runs_the_fleet_with_a_replica_for_each_worker():
    cluster = one(overlay("rayservice"), "RayService")["spec"]["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"]
    fleet = yaml.safe_load(FLEET.read_text())
    fleet["applications"][0]["deployments"][0]["num_replicas"] = workers["replicas"]
    assert ray_config() == fleet
    assert cluster["authOptions"] == {"mode": "token"}
    assert f"ray[serve]=={cluster['rayVersion']}" in (PROJECT / "pyproject.toml").read_text()


def test_every_node_of_ray_has_the_environment_of_the_fleet():
    documents = overlay("rayservice")
    for container in containers(one(documents, "RayService")):
        settings = Settings()
        wanted = ray_environment(settings, Path("/tmp/haproxy"), 65536)
        given = environment(documents, container)
        for name, value in wanted.items():
            if name != "PARAKEET_FLEET_PYTHON":  # python3, which is the environment's
                assert given[name] == value.replace(str(PROJECT), "/opt/parakeet"), name
