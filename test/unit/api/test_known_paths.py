"""Errors for wrong paths, and what they suggest; test_paths.py tests them over a port."""

import pytest
from in_process import new_app

from src.api.dependencies import services_of
from src.api.known_paths import KnownPaths, base_url
from src.errors import UnknownPath


@pytest.fixture
def paths(tmp_path) -> KnownPaths:
    return services_of(new_app(tmp_path)).known_paths


def scope(
    path: str, *, type: str = "http", method: str = "GET", root_path: str = "", host: str = "stt.example"
) -> dict:
    scheme = "http" if type == "http" else "ws"
    head = {"scheme": scheme, "headers": [(b"host", host.encode())], "query_string": b"secret=1", "server": ("::1", 80)}
    return head | {"type": type, "method": method, "path": root_path + path, "root_path": root_path}


def test_a_similar_path_is_suggested_with_the_base_url(paths):
    error = paths.missing(scope("/audio/transcription"))
    assert isinstance(error, UnknownPath)
    assert error.message == (
        "There is no /audio/transcription on this server. Did you mean /v1/audio/transcriptions? "
        "The base URL to set in a client is http://stt.example/v1."
    )


def test_the_prefix_of_a_proxy_is_in_what_is_suggested(paths):
    message = paths.missing(scope("/v2/models", root_path="/stt")).message
    assert "Did you mean /stt/v1/models?" in message
    assert "http://stt.example/stt/v1." in message


@pytest.mark.parametrize("path", ["/no/such/route", "/", "/web/pages.css", "/x" * 5000])
def test_nothing_is_suggested_for_what_is_like_no_path(paths, path):
    message = paths.missing(scope(path)).message
    assert "Did you mean" not in message
    assert len(message) < 300


def test_a_websocket_is_sent_to_websockets_only(paths):
    assert "Did you mean /v1/realtime?" in paths.missing(scope("/realtime", type="websocket")).message
    assert "Did you mean" not in paths.missing(scope("/audio/transcriptions", type="websocket")).message
    assert "is not a WebSocket: request it with http://" in paths.missing(scope("/v1/models", type="websocket")).message


def test_a_wrong_method_may_be_a_wrong_base_url(paths):
    assert paths.wrong_method(scope("/v1/models", method="POST")) == "/v1/models does not take POST."
    message = paths.wrong_method(scope("/v1/models/v1/audio/transcriptions", method="POST"))
    assert "Did you mean /v1/audio/transcriptions?" in message


def test_aliases_and_paths_with_parameters_are_not_suggested(paths):
    for path in ("/openai/deployments/x/audio/transcription", "/v1/models/x"):
        assert "/openai" not in paths.missing(scope(path)).message.removeprefix(f"There is no {path}")
        assert "{" not in paths.missing(scope(path)).message


@pytest.mark.parametrize(("type", "url"), [("http", "http://stt.example/v1"), ("websocket", "http://stt.example/v1")])
def test_the_base_url_is_that_of_http_without_the_query(type, url):
    assert base_url(scope("/v1/realtime", type=type)) == url
