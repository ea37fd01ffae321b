"""`scripts/fleet.sh`, in a copy of the scripts whose path has a space: what it installs, where it runs the fleet."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from namespaces import why_no_namespace

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
# The Python of .venv: tells what it is called with, and shows the network that the fleet would have.
case "$*" in
    "-m pip"*) echo "pip: $*" >>"{root}/calls" ;;
    "-m src.fleet"*) echo "fleet: $*"; ls /sys/class/net; exit "${{EXIT:-0}}" ;;
    *) exec "{python}" "$@" ;;
esac
"""


@pytest.fixture
def root(tmp_path):
    """A copy of the project's scripts that seems to be set up, without Ray."""
    made = tmp_path / "a project"
    shutil.copytree(ROOT / "scripts", made / "scripts")
    shutil.copy(ROOT / "pyproject.toml", made)
    python = made / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(root=made, python=sys.executable))
    python.chmod(0o755)
    requirements = (made / "pyproject.toml").read_text() + (made / "scripts" / "constraints.txt").read_text()
    version = "{}.{}".format(*sys.version_info)
    (made / ".venv" / "setup.stamp").write_text(f"{made}: Python {version}\n{requirements}")
    return made


def run(root: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root)} | extra
    return subprocess.run(
        ["bash", root / "scripts" / "fleet.sh", *arguments], env=environment, cwd="/", capture_output=True, text=True
    )


def calls(root: Path) -> list[str]:
    path = root / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_setup_only_installs_ray_in_the_versions_of_the_constraints_and_only_once(root):
    done = run(root, "--setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert "fleet:" not in done.stdout
    (call,) = calls(root)
    assert call.endswith(
        "install --quiet --disable-pip-version-check --constraint scripts/constraints.txt --editable .[fleet]"
    )
    run(root, "--setup")
    assert len(calls(root)) == 1
    with (root / "scripts" / "constraints.txt").open("a") as file:
        file.write("six==1\n")
    (root / ".venv" / "setup.stamp").write_text((root / ".venv" / "setup.stamp").read_text() + "six==1\n")
    run(root, "--setup")
    assert len(calls(root)) == 2


def test_without_arguments_it_becomes_the_fleet_with_its_exit_code(root):
    done = run(root, EXIT="1")
    assert "fleet: -m src.fleet\n" in done.stdout
    assert done.returncode == 1


def test_the_environment_of_nodes_is_all_that_is_printed(root):
    done = run(root, "--environment")
    assert done.stdout.startswith("fleet: -m src.fleet --environment\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--setup", "--loopback"]])
def test_other_arguments_get_the_usage(root, arguments):
    done = run(root, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: bash scripts/fleet.sh")
    assert calls(root) == []


def test_the_loopback_mode_has_one_interface_and_leaves_no_namespace_behind(root):
    if reason := why_no_namespace():
        pytest.skip(reason)
    before = subprocess.run(["ip", "netns", "list"], capture_output=True, check=True).stdout
    done = run(root, "--loopback", EXIT="3")
    assert done.stdout.splitlines()[-2:] == ["fleet: -m src.fleet", "lo"]
    assert "Clients run in the same namespace: ip netns exec parakeet" in done.stdout
    assert done.returncode == 3
    assert subprocess.run(["ip", "netns", "list"], capture_output=True, check=True).stdout == before
