"""The headers of a page: what it may load, and to where it may connect."""

from typing import Any

import pytest

from src.api.page_headers import page_headers


def policy(host: str, scheme: str = "http") -> dict[str, str]:
    """The directives of the policy for a page that is requested from `host`, by name."""
    scope: dict[str, Any] = {"type": "http", "scheme": scheme, "path": "/", "server": ("127.0.0.1", 8000)}
    scope |= {"headers": [(b"host", host.encode())], "query_string": b""}
    directives = page_headers(scope)["content-security-policy"].split("; ")
    return dict(each.partition(" ")[::2] for each in directives)


def test_a_page_loads_nothing_but_files_of_the_service():
    directives = policy("stt.example")
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["media-src"] == directives["img-src"] == "'self' blob:"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert not any("unsafe" in each or "data:" in each or "*" in each for each in directives.values())


@pytest.mark.parametrize("host", ["stt.example", "stt.example:8443", "127.0.0.1:8000", "[::1]:9", "my_pod-1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_connects_to_its_own_host_by_http_and_websocket(host, scheme):
    assert policy(host, scheme)["connect-src"] == f"'self' ws://{host} wss://{host}"


@pytest.mark.parametrize("host", ["a;script-src *", "a b", "a,b", "*", "*.example", "'unsafe-inline'", "a/b", "["])
def test_an_invalid_host_adds_nothing(host):
    directives = policy(host)
    assert directives["script-src"] == "'self'"
    assert directives["connect-src"] in ("'self'", "'self' ws://127.0.0.1:8000 wss://127.0.0.1:8000")


def test_no_address_leaves_the_page():
    scope = {"type": "http", "scheme": "http", "path": "/", "headers": [], "query_string": b"key=1"}
    headers = page_headers(scope)
    assert headers["referrer-policy"] == "no-referrer"
    assert "cross-origin-opener-policy" not in headers
    assert "connect-src 'self'" in headers["content-security-policy"]
