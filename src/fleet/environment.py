"""The environment variables by which Ray and its HAProxy are set up for this service.

Ray reads them when it is imported, in every process: they must be set where a node of the cluster is started.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from src.settings import TOP_LEVEL, Settings

ENABLE_HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
HAPROXY = TOP_LEVEL / "scripts" / "haproxy.sh"
"""Ray starts it in place of HAProxy; it adds to the configuration what Ray cannot be told."""
DRAIN_S = 10
"""Seconds that a replica that goes still takes connections. Its sessions end meanwhile; after that, Ray closes them."""
MAX_CONNECTIONS = 16_384
"""Of HAProxy, which has 4,096 by default: 64 replicas have as many sessions."""
FILES_PER_CONNECTION = 2.5
"""HAProxy does not start without: two sockets each, and a pipe for every fourth (its maxconn)."""


def ray_environment(settings: Settings, folder: Path, max_files: int) -> dict[str, str]:
    """Return the variables for Ray. Its token is not among them: RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.

    Args:
        settings: the service's.
        folder: where HAProxy's configuration and sockets lie. Its path must be short: a socket's path, with a node's id
            of 56 characters in it, has 107 characters at most (unix(7)).
        max_files: how many files a process may have open.
    """
    session_s = round(settings.realtime_session_s) + 60
    return {
        ENABLE_HAPROXY: "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY),
        "PARAKEET_FLEET_PYTHON": sys.executable,  # for that script
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        # Each change of the replicas starts a new HAProxy. The old one keeps its connections, two minutes by default.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(session_s),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(session_s),
        "RAY_SERVE_HAPROXY_MAXCONN": str(min(MAX_CONNECTIONS, round((max_files - 200) / FILES_PER_CONNECTION))),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
        # The application has an event loop that nothing blocks; a second one would be handed each message.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_AUTH_MODE": "token",
        # On a machine that is busy, such as when models are loaded, Ray would give up on HAProxy after five seconds.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
        # Replicas are services, with the share of the cores that a service has. Ray's 15 leaves them 3 % of it.
        "RAY_worker_niceness": "0",
        "RAY_BACKEND_LOG_LEVEL": "error",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "true",
    }


def uses_haproxy(environment: Mapping[str, str]) -> bool:
    """Return whether Ray lets HAProxy balance the load, as intended, and not its own proxy in Python."""
    return environment.get(ENABLE_HAPROXY) == "1"


def with_defaults(given: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return those of `defaults` that are not set in `given`: what somebody has set wins."""
    return {name: value for name, value in defaults.items() if not given.get(name)}


def as_exports(variables: Mapping[str, str]) -> str:
    """Return shell lines that export variables, for `eval` where a node is started."""
    return "".join(f"export {name}='{value}'\n" for name, value in variables.items())
