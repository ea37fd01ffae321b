"""What is added to HAProxy's configuration; `CONFIG` is what Ray 2.60 writes, without its comments and some metrics."""

import json
import re

import pytest

from src.fleet.haproxy_config import ANSWERS, shipped

CONFIG = """global
    stats socket /tmp/haproxy-serve/admin.sock mode 666 level admin expose-fd listeners
    hard-stop-after 120s
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    retry-on conn-failure
    # Normalize 502/503/504 to 500 per Serve's default behavior.
    errorfile 502 /tmp/haproxy-serve/500.http
    errorfile 503 /tmp/haproxy-serve/500.http
    errorfile 504 /tmp/haproxy-serve/500.http
    balance leastconn
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind *:8000
    acl healthcheck path -i /-/healthz
    http-request return status 503 content-type text/plain string "Service Unavailable" if healthcheck
    acl is_http-parakeet path_beg /
    acl is_http-parakeet path /
    use_backend http-parakeet if is_http-parakeet
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path '%[path]' not found."
backend http-parakeet
    log global
    http-reuse always
    timeout connect 5s
    option httpchk GET /-/healthz
    http-check expect status 200
    default-server fastinter 250ms downinter 250ms fall 2 rise 2 inter 5s check
    server parakeet-one 10.0.0.1:30000 check observe layer4 error-limit 3 on-error mark-down
    server parakeet-two 10.0.0.2:30000 check observe layer4 error-limit 3 on-error mark-down
    server fallback 10.0.0.1:8500 check backup
listen stats
  bind *:8404
  stats enable
"""


def section(config: str, head: str) -> list[str]:
    """The lines of one section, without indents."""
    lines = config.partition(f"\n{head}\n")[2].splitlines()
    end = next((number for number, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return [line.strip() for line in lines[:end]]


@pytest.fixture(scope="module")
def amended():
    return shipped(CONFIG)


def test_sessions_have_a_backend_of_the_same_servers_whose_health_is_checked_once(amended):
    frontend = section(amended, "frontend http_frontend")
    websockets = "use_backend http-parakeet-sessions if is_http-parakeet { hdr(upgrade) -i websocket }"
    assert frontend.index(websockets) + 1 == frontend.index("use_backend http-parakeet if is_http-parakeet")
    assert section(amended, "backend http-parakeet-sessions") == [
        "log global",
        "http-reuse always",
        "timeout connect 5s",
        "server parakeet-one 10.0.0.1:30000 track http-parakeet/parakeet-one",
        "server parakeet-two 10.0.0.2:30000 track http-parakeet/parakeet-two",
        "server fallback 10.0.0.1:8500 track http-parakeet/fallback backup",
    ]
    assert section(amended, "backend http-parakeet") == section(CONFIG, "backend http-parakeet")


def test_clients_may_not_use_rays_own_headers(amended):
    frontend = section(amended, "frontend http_frontend")
    assert "http-request del-header x-request-timeout-seconds" in frontend
    assert "http-request del-header x-request-disconnect-disabled" in frontend


def test_haproxys_own_answers_for_a_lost_replica_have_openais_error_body_and_say_when_to_try_again(amended):
    defaults = section(amended, "defaults")
    assert not any(line.startswith("errorfile") for line in defaults)
    pattern = re.compile(r"http-error status (\d+) content-type application/json string '(.*)' hdr retry-after 5")
    answers = [match.groups() for line in defaults if (match := pattern.fullmatch(line))]
    assert [int(status) for status, _ in answers] == [*ANSWERS] == [502, 503, 504]
    for _, body in answers:
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "server_error"


def test_slow_heads_and_silent_websockets_end(amended):
    assert {"timeout http-request 20s", "timeout tunnel 3700s"} <= set(section(amended, "defaults"))


def test_the_statistics_are_for_this_machine_and_the_service_is_for_all(amended):
    assert "bind 127.0.0.1:9101" in section(amended, "frontend prometheus")
    assert "bind 127.0.0.1:8404" in section(amended, "listen stats")
    assert "bind *:8000" in section(amended, "frontend http_frontend")


def test_a_configuration_is_amended_once(amended):
    assert shipped(amended) == amended


def test_a_configuration_without_replicas_stays_valid():
    bare = CONFIG.replace("    use_backend http-parakeet if is_http-parakeet\n", "")
    bare = bare.replace(bare[bare.index("backend http-parakeet\n") : bare.index("listen stats")], "")
    assert "-sessions" not in shipped(bare)
    assert "bind 127.0.0.1:8404" in shipped(bare)
