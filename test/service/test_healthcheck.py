"""The image's health check, run against the service."""

import json
import os
import subprocess
import sys

from manifests import DOCKERFILE, stages
from ports import reserved_port

INSTRUCTIONS = dict(stages(DOCKERFILE.read_text())["cpu"])


def exit_code(port: int) -> int:
    """How the check of the image ends for a service at `port`."""
    _, _, command = INSTRUCTIONS["HEALTHCHECK"].partition(" CMD ")
    python, *arguments = json.loads(command)
    assert python == "python"
    ended = subprocess.run(
        [sys.executable, *arguments], env=os.environ | {"PARAKEET_PORT": str(port)}, stderr=subprocess.DEVNULL
    )
    return ended.returncode


def test_a_service_that_is_ready_is_healthy(service):
    assert exit_code(service.port) == 0


def test_no_service_is_unhealthy():
    with reserved_port() as port:
        assert exit_code(port) == 1
