"""The environment of Ray: what is set, and that what somebody has set wins."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from src.fleet.environment import HAPROXY, as_exports, ray_environment, uses_haproxy, with_defaults
from src.settings import Settings

SETTINGS = Settings(realtime_session_s=1800)
FOLDER = Path("/tmp/pk-abcdefgh")


@pytest.mark.parametrize(("max_files", "connections"), [(65_536, 16_384), (1_048_576, 16_384), (20_000, 7_920)])
def test_haproxy_takes_no_more_connections_than_it_may_open_files(max_files, connections):
    variables = ray_environment(SETTINGS, FOLDER, max_files)
    assert variables["RAY_SERVE_HAPROXY_MAXCONN"] == str(connections)


def test_connections_of_an_hour_outlive_a_change_of_the_replicas():
    variables = ray_environment(SETTINGS, FOLDER, 65_536)
    assert variables["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"] == "1860"


def test_the_path_of_haproxys_socket_is_short_enough_for_the_system():
    socket = Path(ray_environment(SETTINGS, FOLDER, 65_536)["RAY_SERVE_HAPROXY_SOCKET_PATH"])
    in_use = f"{socket.parent}/{'a' * 56}/{socket.name}.1234567.tmp"  # Ray adds the node's id, HAProxy its own name
    assert len(in_use) <= 107


def test_haproxy_is_started_by_the_script_that_amends_its_configuration():
    variables = ray_environment(SETTINGS, FOLDER, 65_536)
    assert uses_haproxy(variables)
    assert variables["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(HAPROXY)
    assert os.access(HAPROXY, os.X_OK)


def test_ray_knows_each_variable_of_serve_as_it_ignores_one_that_is_misspelt():
    ray = importlib.util.find_spec("ray")
    if ray is None:
        pytest.skip("Ray is not installed: bash scripts/fleet.sh --setup")
    constants = Path(ray.submodule_search_locations[0], "serve", "_private", "constants.py").read_text()
    names = {name for name in ray_environment(SETTINGS, FOLDER, 65_536) if name.startswith("RAY_SERVE_")}
    assert len(names) > 10
    assert {name for name in names if f'"{name}"' not in constants} == set()


def test_what_is_set_already_wins_and_an_empty_variable_counts_as_unset():
    assert with_defaults({"A": "mine", "B": ""}, {"A": "1", "B": "2", "C": "3"}) == {"B": "2", "C": "3"}


def test_exports_give_a_shell_the_same_variables():
    variables = ray_environment(SETTINGS, FOLDER, 65_536)
    printed = subprocess.run(
        ["bash", "-c", f"{as_exports(variables)}env"], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    ).stdout
    assert variables.items() <= dict(line.split("=", 1) for line in printed.splitlines()).items()
