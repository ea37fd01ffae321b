"""The deployment: its options, what `serve deploy` gets, and that all replicas know each other's temporary keys."""

import pytest
import yaml

pytest.importorskip("needs_ray", reason="Ray is not installed: bash scripts/fleet.sh --setup")

from src.fleet.deployment import APPLICATION, build, deployed, options, with_common_secret
from src.fleet.environment import ENABLE_HAPROXY
from src.fleet.size import FleetError, FleetSize
from src.settings import TOP_LEVEL, Settings

SIZE = FleetSize(2, 1.0, 2, has_spare=False)


@pytest.fixture(autouse=True)
def _haproxy(monkeypatch):
    monkeypatch.setenv(ENABLE_HAPROXY, "1")


def load(_):
    raise AssertionError


def test_limits_are_left_to_the_service():
    assert options(SIZE)["max_ongoing_requests"] >= 1024
    assert options(SIZE)["max_queued_requests"] == -1


def test_an_update_starts_replicas_first_only_where_a_card_is_spare():
    assert options(SIZE)["max_surge_percent"] == 0
    assert options(FleetSize(2, 1.0, 2, has_spare=True))["max_surge_percent"] == 1


def test_rays_own_proxy_routes_by_our_queue_and_haproxy_is_not_given_a_router(monkeypatch):
    assert "request_router_config" not in options(SIZE)
    monkeypatch.setenv(ENABLE_HAPROXY, "0")
    assert options(SIZE)["request_router_config"].request_router_class == "src.fleet.request_router:QueueRouter"


def test_ray_takes_the_options():
    application = deployed(Settings(), SIZE, load)
    assert application._bound_deployment.num_replicas == 2
    assert application._bound_deployment.ray_actor_options == {"num_cpus": 1, "num_gpus": 1.0}


def test_the_file_for_serve_deploy_says_what_the_fleet_does():
    file = yaml.safe_load((TOP_LEVEL / "scripts" / "fleet.yaml").read_text())
    (application,) = file["applications"]
    assert (application["name"], application["import_path"]) == (APPLICATION, f"{build.__module__}:{build.__name__}")
    (deployment,) = application["deployments"]
    assert deployment == {name: options(SIZE)[name] for name in deployment} | {"num_replicas": 1}


def test_serve_deploy_gets_the_size_of_the_settings(monkeypatch):
    monkeypatch.setenv("PARAKEET_REPLICAS", "3")
    monkeypatch.setenv("PARAKEET_REPLICA_GPUS", "0.5")
    deployment = build({})._bound_deployment
    assert deployment.num_replicas == 3
    assert deployment.ray_actor_options["num_gpus"] == 0.5
    monkeypatch.setenv("PARAKEET_DEVICE", "cpu")
    assert build({})._bound_deployment.ray_actor_options["num_gpus"] == 0


def test_arguments_of_serve_deploy_are_refused_with_what_to_set():
    with pytest.raises(FleetError, match="environment variables such as PARAKEET_MODEL_ID"):
        build({"model": "tiny"})


def test_without_keys_all_replicas_get_one_random_secret():
    one, other = with_common_secret(Settings()).secret_key, with_common_secret(Settings()).secret_key
    assert len(one.get_secret_value()) >= 32
    assert one != other
    for settings in (Settings(api_keys="sk-a"), Settings(secret_key="s" * 32)):
        assert with_common_secret(settings) is settings
