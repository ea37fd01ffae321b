"""Which pages may call a service without keys: by the headers that browsers and proxies send."""

import json
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

from src.api.origins import OriginGuard, is_loopback_host, is_safe_name
from src.metrics.trace import Trace

LAN, LOOPBACK = "192.0.2.7", "127.0.0.1"


async def answer_to(
    headers: dict[str, str],
    *,
    origins: tuple[str, ...] = (),
    is_local: bool = False,
    server: str = LAN,
    kind: str = "http",
    path: str = "/v1/models",
) -> tuple[int, str | None]:
    """Return the status of the guard's answer and the code in its body, None if the application answered."""
    scope: Scope = {
        "type": kind,
        "method": "POST",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": (server, 8000),
        "state": {"trace": Trace("req_1")},
        "extensions": {"websocket.http.response": {}},
    }
    sent: list[Any] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "status": 101})
        else:
            await PlainTextResponse("ok")(scope, receive, send)

    await OriginGuard(application, origins, is_local=is_local)(scope, receive, send)
    status = sent[0]["status"]
    return status, json.loads(sent[1]["body"])["error"]["code"] if status == 403 else None


FOREIGN = (403, "origin_not_allowed")
REBOUND = (403, "host_not_allowed")
BROWSERS_ORIGINS = [
    "https://evil.example.com",
    "http://localhost:3000",
    "http://localhost",
    "https://localhost:8000.evil.example.com",
    "null",
    "file://",
    "chrome-extension://abcdefghijklmnop",
    "moz-extension://0a1b-2c3d",
    "app://obsidian.md",
    "http://",
    "localhost:8000",
    "http://localhost:8000@evil.example.com",
    "http://localhost:8000 https://evil.example.com",
]


@pytest.mark.parametrize("origin", BROWSERS_ORIGINS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_foreign_page_is_refused_on_both_transports(origin, kind):
    headers = {"host": "localhost:8000", "origin": origin}
    assert await answer_to(headers, kind=kind, server=LOOPBACK) == FOREIGN


@pytest.mark.parametrize("origin", ["https://app.example.com", "null", "file://", "chrome-extension://abc"])
async def test_a_listed_page_may_call(origin):
    headers = {"host": "localhost:8000", "origin": origin.upper() if "//" in origin else origin}
    status, _ = await answer_to(headers, origins=(origin,), kind="websocket", is_local=True, server=LOOPBACK)
    assert status == 101


OWN = [
    {"host": "localhost:8000", "origin": "http://localhost:8000"},
    {"host": "LOCALHOST:8000", "origin": "http://localhost:8000"},
    {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"},
    {"host": "[::1]:8000", "origin": "http://[::1]:8000"},
    {"host": "localhost", "origin": "http://localhost"},
    {"host": "gpu-box:8000", "origin": "http://gpu-box:8000"},
    {"host": "192.0.2.7:8000", "origin": "http://192.0.2.7:8000"},
    {"host": "stt.example.com", "origin": "https://stt.example.com"},
    {"host": "stt.example.com:443", "origin": "https://stt.example.com"},
    {"host": "127.0.0.1:8000", "x-forwarded-host": "stt.example.com", "origin": "https://stt.example.com"},
    {"host": "stt:8000", "x-forwarded-host": "stt.example.com, inner", "origin": "https://stt.example.com"},
    {"host": "127.0.0.1:8000", "sec-fetch-site": "same-origin", "origin": "https://stt.example.com"},
]


@pytest.mark.parametrize("headers", OWN, ids=lambda headers: " ".join(headers.values()))
@pytest.mark.parametrize("is_local", [False, True])
async def test_the_services_own_page_may_call_also_behind_a_proxy(headers, is_local):
    assert await answer_to(headers, kind="websocket", is_local=is_local, server=LOOPBACK) == (101, None)


@pytest.mark.parametrize(
    "host", ["localhost:8000", "10.0.0.5:8000", "parakeet:8000", "stt.example.com", "gpu.corp.example.com:8000", ""]
)
async def test_clients_that_are_no_browsers_may_use_any_name(host):
    for server in (LAN, LOOPBACK):
        assert await answer_to({"host": host} if host else {}, server=server) == (200, None)


async def test_a_name_in_the_network_may_be_used_with_its_own_origin_over_plain_http_too():
    """As websocket-client does for Python, and React Native."""
    headers = {"host": "gpu.corp.example.com:8000", "origin": "http://gpu.corp.example.com:8000"}
    assert await answer_to(headers, kind="websocket", server=LAN) == (101, None)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("extra", [{}, {"x-forwarded-for": "203.0.113.1"}, {"x-forwarded-host": "evil.example.com"}])
async def test_a_page_whose_name_leads_to_this_machine_is_refused(kind, extra):
    headers = {"host": "evil.example.com:8000", "origin": "http://evil.example.com:8000"} | extra
    for server in (LOOPBACK, "::1", "::ffff:127.0.0.1"):
        assert await answer_to(headers, kind=kind, server=server) == REBOUND


async def test_a_service_of_its_machine_only_takes_no_strange_names_but_those_of_a_proxy_and_listed_ones():
    name = {"host": "evil.example.com:8000"}
    assert await answer_to(name, is_local=True, server=LOOPBACK) == REBOUND
    assert await answer_to(name | {"x-forwarded-for": "203.0.113.1"}, is_local=True, server=LOOPBACK) == (200, None)
    listed = ("http://evil.example.com:8000",)
    assert await answer_to(name, is_local=True, server=LOOPBACK, origins=listed) == (200, None)
    with_origin = name | {"origin": "http://evil.example.com:8000"}
    assert await answer_to(with_origin, is_local=True, server=LOOPBACK, origins=listed) == (200, None)


async def test_probes_are_always_answered():
    headers = {"host": "evil.example.com", "origin": "https://evil.example.com"}
    assert await answer_to(headers, is_local=True, path="/healthz") == (200, None)


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("gpu-box", True),
        ("evil.example.com", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
    ],
)
def test_strangers_decide_where_names_with_a_dot_lead(name, is_safe):
    assert is_safe_name(name) == is_safe


def test_a_service_may_listen_to_its_own_machine_only():
    assert [is_loopback_host(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "192.0.2.1")] == [
        *(True, True, True),
        *(False, False, False),
    ]
