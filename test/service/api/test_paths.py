"""Paths: every route with a slash and without, by HEAD, without a key, under a prefix; and paths that no route has."""

import json
import re
from contextlib import contextmanager

import httpx
import pytest
from fakes import HeldModel, clip
from fastapi.routing import iter_route_contexts
from keys import KEY
from media import wav
from running_service import serving
from starlette.routing import WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from src.api.paths import is_realtime
from src.app import create_app
from src.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PCM = (clip(7) * 32767).astype("<i2").tobytes()


def routes() -> list[tuple[str, set[str] | None]]:
    """Every path of the application, parameters filled in, with its methods: None for a WebSocket.

    One file stands for all files of the page, whose routes are alike.
    """
    found = {}
    for each in iter_route_contexts(create_app(Settings(model_id="tiny")).routes):
        path = re.sub(r"\{\w+(:path)?\}", "whisper-1", each.path)
        if path.startswith("/web/") and any(other.startswith("/web/") for other, _ in found):
            continue
        is_socket = isinstance(each.original_route, WebSocketRoute)
        methods = found.setdefault((path, is_socket), set())
        methods |= set() if is_socket else each.methods
    return [(path, None if is_socket else methods) for (path, is_socket), methods in sorted(found.items(), key=str)]


ROUTES = routes()
PATHS = [path for path, methods in ROUTES if methods is not None]
GETS = [path for path, methods in ROUTES if methods and "GET" in methods]
POSTS = [path for path, methods in ROUTES if methods and "POST" in methods]
SOCKETS = [path for path, methods in ROUTES if methods is None]


PAGE_FILE = next(path for path in PATHS if path.startswith("/web/"))
OPEN = {"/healthz", "/readyz", "/", PAGE_FILE, "/docs", "/docs/docs.css", "/docs/page.css", "/docs/icon.svg", "/redoc"}
"""Paths that need no key."""


def recorded(log_dir) -> list[str]:
    """The route of each line of a service's metrics."""
    return [json.loads(line)["route"] for line in (log_dir / "metrics" / "metrics.log").read_text().splitlines()]


@contextmanager
def served(log_dir, **settings):
    given = Settings(model_id="tiny", log_dir=log_dir, max_queue_wait_s=60, **settings)
    with serving(given, lambda _: HeldModel(held=False)) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with served(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with served(tmp_path_factory.mktemp("logs"), api_keys=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory):
    with served(tmp_path_factory.mktemp("logs"), api_keys=KEY, root_path="/stt/") as running:
        yield running


def rejection_of(service, path: str, **options) -> tuple[int, dict]:
    """Status and error of a WebSocket that is not opened."""
    with pytest.raises(InvalidStatus) as rejected, connect(f"ws://127.0.0.1:{service.port}{path}", **options):
        pass
    response = rejected.value.response
    return response.status_code, json.loads(response.body)["error"]


def first_event(service, path: str, **options) -> str:
    with connect(f"ws://127.0.0.1:{service.port}{path}", **options) as socket:
        return json.loads(socket.recv())["type"]


def test_the_routes_are_those_that_the_readme_names():
    assert {"/v1/audio/transcriptions", "/openai/deployments/whisper-1/audio/transcriptions"} <= set(POSTS)
    assert {"/v1/realtime", "/openai/v1/realtime", "/openai/realtime"} <= set(SOCKETS)
    assert {"/healthz", "/readyz", "/v1/models", "/v1/models/whisper-1", "/docs", "/openapi.json", "/"} <= set(GETS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_no_route_redirects_and_a_slash_at_the_end_changes_nothing(service, path, method):
    plain = service.http.request(method, path)
    slashed = service.http.request(method, f"{path}/")
    assert plain.status_code == slashed.status_code
    assert not 300 <= plain.status_code < 400
    assert plain.status_code != 404
    if not path.endswith(("/client_secrets", "/transcription_sessions")):  # each answer is a key of its own
        assert slashed.text == plain.text
    assert slashed.headers.get("allow") == plain.headers.get("allow")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", [path for path in POSTS if path.endswith("/transcriptions")])
def test_audio_is_transcribed_by_every_path(service, path, slash):
    answer = service.http.post(f"{path}{slash}", content=PCM, headers={"content-type": "audio/pcm"})
    assert (answer.status_code, answer.json().get("text")) == (200, "7")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", SOCKETS)
def test_a_session_is_opened_by_every_path(service, path, slash):
    assert first_event(service, f"{path}{slash}") == "session.created"


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_a_body(service, path):
    got, asked = service.http.get(path), service.http.head(path)
    assert asked.status_code == got.status_code
    assert asked.content == b""
    each_time = {"date", "x-request-id", "openai-processing-ms"}
    assert {name: value for name, value in asked.headers.items() if name not in each_time} == {
        name: value for name, value in got.headers.items() if name not in each_time
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [*PATHS, "/no/such/path", "//v1/models", "/web/none.js", "/web"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_only_the_probes_and_the_page_are_answered_without_a_key(guarded, prefixed, path, method, slash):
    for service, prefix in ((guarded, ""), (prefixed, ""), (prefixed, "/stt")):
        status = service.http.request(method, f"{prefix}{path}{slash}").status_code
        if path in OPEN:
            assert status == (200 if method in ("GET", "HEAD") else 405)
        else:
            assert status == 401


@pytest.mark.parametrize("path", [*SOCKETS, *PATHS, "/no/such/path"])
def test_no_websocket_is_answered_without_a_key(guarded, path):
    status, error = rejection_of(guarded, path)
    if path in OPEN:
        assert (status, error["code"]) == (404, "not_found")
    else:
        assert (status, error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(("path", "methods"), [(path, methods) for path, methods in ROUTES if methods])
def test_the_answer_to_a_wrong_method_names_the_right_ones(service, path, methods):
    answer = service.http.request("PROPFIND", path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == methods


AS_AZURE_DOES = {"api-key": KEY}


@pytest.mark.parametrize("path", GETS)
def test_the_key_may_be_in_azures_header(guarded, path):
    assert guarded.http.get(path, headers=AS_AZURE_DOES).status_code in (200, 426)
    if path not in OPEN:
        assert guarded.http.get(path, headers={"api-key": f"{KEY}x"}).status_code == 401
        in_query = guarded.http.get(path, params={"api-key": KEY}).status_code
        assert in_query == (426 if path in SOCKETS else 401)  # proxies log it


@pytest.mark.parametrize("path", SOCKETS)
def test_a_websocket_takes_azures_key_in_a_header_or_in_the_query(guarded, path):
    assert first_event(guarded, path, additional_headers=AS_AZURE_DOES) == "session.created"
    assert first_event(guarded, f"{path}?api-version=2025-04-01&deployment=mine&api-key={KEY}") == "session.created"
    assert first_event(guarded, f"{path}?Authorization=Bearer%20{KEY}") == "session.created"
    assert rejection_of(guarded, f"{path}?api-key=wrong")[0] == 401
    assert rejection_of(guarded, f"{path}?Authorization={KEY}")[0] == 401


def test_an_empty_key_of_azures_does_not_hide_the_bearers(guarded):
    headers = {"authorization": f"Bearer {KEY}", "api-key": ""}
    assert guarded.http.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/openai/deployments/my-speech/audio/transcriptions?api-version=2024-10-21", 200),
        ("/openai/deployments/nvidia%2Fparakeet/audio/transcriptions/?api-version=2024-10-21", 200),
        ("/openai/v1/audio/transcriptions", 200),
        ("/v1/audio/transcriptions", 404),
    ],
)
def test_a_deployment_is_the_served_model_whatever_it_is_called(service, path, status):
    form = {"model": "my-own-deployment"}
    answer = service.http.post(path, files={"file": ("a.wav", wav(clip(7)))}, data=form)
    assert answer.status_code == status


def test_sessions_of_azures_paths_take_any_deployment_as_their_model(service):
    update = {
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": {"transcription": {"model": "mine"}}}},
    }
    with connect(f"ws://127.0.0.1:{service.port}/openai/v1/realtime?model=my-own-deployment") as socket:
        assert json.loads(socket.recv())["type"] == "session.created"
        socket.send(json.dumps(update))
        assert json.loads(socket.recv())["type"] == "session.updated"
    assert rejection_of(service, "/v1/realtime?model=my-own-deployment")[0] == 404


@pytest.mark.parametrize("root", ["/openai/v1", "/openai", "/openai/deployments/my-own-deployment"])
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("client_secrets", {"session": {"audio": {"input": {"transcription": {"model": "mine"}}}}}),
        ("transcription_sessions", {"input_audio_transcription": {"model": "mine"}}),
    ],
)
def test_a_temporary_key_of_azures_paths_is_for_any_deployment(service, root, route, body):
    answer = service.http.post(f"{root}/realtime/{route}?api-version=2025-04-01-preview", json=body)
    assert answer.status_code == 200
    key = answer.json().get("value") or answer.json()["client_secret"]["value"]
    update = {"type": "session.update", "session": {"input_audio_transcription": {"language": "en"}}}
    for path in (f"{root}/realtime", "/v1/realtime"):
        with connect(f"ws://127.0.0.1:{service.port}{path}", additional_headers={"api-key": key}) as socket:
            socket.recv()
            socket.send(json.dumps(update))
            updated = json.loads(socket.recv())["session"]["audio"]["input"]["transcription"]
            assert (updated["model"], updated["language"]) == ("mine", "en")
    refused = service.http.post(f"/v1/realtime/{route}", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_the_metrics_have_the_template_of_the_route(tmp_path):
    with served(tmp_path) as service:
        service.http.post(
            "/openai/deployments/a/audio/transcriptions/", content=PCM, headers={"content-type": "audio/pcm"}
        )
        service.http.post("/v1/audio/transcriptions/", content=PCM, headers={"content-type": "audio/pcm"})
        service.http.get("/v1/nothing")
    assert recorded(tmp_path) == [
        "/openai/deployments/{deployment:path}/audio/transcriptions",
        "/v1/audio/transcriptions",
        "unknown",
    ]


# Paths that are missed.

SUGGESTED = {
    "/audio/transcriptions": "/v1/audio/transcriptions",
    "/v1/v1/audio/transcriptions": "/v1/audio/transcriptions",
    "//v1/audio/transcriptions": "/v1/audio/transcriptions",
    "/v1/audio/transcription": "/v1/audio/transcriptions",
    "/v1/audio/transcriptions/audio/transcriptions": "/v1/audio/transcriptions",
    "/v1/audio/transcriptions/v1/audio/transcriptions": "/v1/audio/transcriptions",
    "/V1/Audio/Transcriptions": "/v1/audio/transcriptions",
    "/realtime": "/v1/realtime",
    "/models": "/v1/models",
    "/v1/models/v1/models": "/v1/models",
}


@pytest.mark.parametrize(("path", "suggested"), SUGGESTED.items())
def test_the_answer_to_a_wrong_path_suggests_the_right_one_and_the_base_url(service, path, suggested):
    for method in ("GET", "POST") if not path.startswith("/v1/models") else ("GET",):
        answer = service.http.request(method, path)
        assert answer.status_code == 404
        message = answer.json()["error"]["message"]
        assert f" {suggested}?" in message
        assert f" http://127.0.0.1:{service.port}/v1." in message


def test_a_path_behind_that_of_models_is_not_a_model(service):
    error = service.http.post("/v1/models/v1/audio/transcriptions").json()["error"]
    assert error["code"] == "method_not_allowed"
    assert " /v1/audio/transcriptions?" in error["message"]
    assert "Did you mean" not in service.http.get("/v1/models/gpt-realtime").json()["error"]["message"]
    assert "Did you mean" not in service.http.delete("/v1/models/whisper-1").json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"host": "stt.example.com"}, "http://stt.example.com/v1"),
        ({"host": "stt.example.com:8443", "x-forwarded-proto": "https"}, "https://stt.example.com:8443/v1"),
        ({"host": "[::1]:9"}, "http://[::1]:9/v1"),
    ],
)
def test_the_base_url_is_the_one_that_the_client_used(service, headers, base):
    assert f" {base}." in service.http.get("/realtime", headers=headers).json()["error"]["message"]


@pytest.mark.parametrize("host", ["[", "a b", "<script>", "x:y:z", "@", "/"])
def test_an_invalid_host_is_not_repeated(service, host):
    answer = service.http.get("/realtime", headers={"host": host})
    assert answer.status_code == 404
    assert f" http://127.0.0.1:{service.port}/v1." in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/no/such/route", "/v1/chat/completions", "/web/none.js", "/v1", "/%00", "/x?%FF", "/" + 9000 * "x"]
)
def test_nonsense_gets_no_hint(service, path):
    answer = service.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "Did you mean" not in answer.text
    assert len(answer.text) < 500


@pytest.mark.parametrize(
    "path", ["/realtime", "/v1/v1/realtime", "//v1/realtime", "/v1/realtime/v1/realtime", "/api/v1/Realtime"]
)
def test_the_answer_to_a_websocket_at_a_wrong_path_suggests_the_right_one(service, path):
    status, error = rejection_of(service, path)
    assert (status, error["code"], error["type"]) == (404, "not_found", "invalid_request_error")
    assert " /v1/realtime?" in error["message"]
    assert f" http://127.0.0.1:{service.port}/v1." in error["message"]


@pytest.mark.parametrize("path", [*(path for path in PATHS if "/realtime" not in path), "/no/such/path"])
def test_a_websocket_at_another_path_is_not_found(service, path):
    status, error = rejection_of(service, path)
    assert (status, error["code"]) == (404, "not_found")
    assert path in error["message"]
    assert "Did you mean" not in error["message"]


KEYS_OF_BROWSERS = {
    "query": ({"api-key": KEY}, {}),
    "header in the query": ({"Authorization": f"Bearer {KEY}"}, {}),
    "subprotocol": ({}, {"sec-websocket-protocol": f"realtime, openai-insecure-api-key.{KEY}"}),
}


@pytest.mark.parametrize(("query", "headers"), KEYS_OF_BROWSERS.values(), ids=KEYS_OF_BROWSERS)
def test_a_request_for_a_websockets_path_may_have_its_key_where_the_websocket_has_it(guarded, query, headers):
    """A page asks so why a WebSocket was refused, and a proxy that loses the upgrade leaves the rest as it was."""
    wrong = [{name: f"{value}x" for name, value in each.items()} for each in (query, headers)]
    for path in SOCKETS:
        answer = guarded.http.get(path, params=query, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")
        assert guarded.http.get(path, params=wrong[0], headers=wrong[1]).status_code == 401
    assert guarded.http.get("/v1/models", params=query, headers=headers).status_code == 401


@pytest.mark.parametrize("path", SOCKETS)
def test_a_websockets_path_requested_by_http_names_the_upgrade(service, path):
    for method in ("GET", "HEAD"):
        answer = service.http.request(method, path)
        assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert path in service.http.get(path).json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["/v1/realtime/", "/realtime", "/v1/realtime/client_secrets", "/v1/models/realtime", "/openai/models/realtime"],
)
def test_other_paths_are_not_taken_for_a_websockets(path):
    assert not is_realtime({"path": path})
    assert all(is_realtime({"path": socket}) for socket in SOCKETS)


# Under a prefix.


@pytest.mark.parametrize("seen", ["", "/stt"], ids=["taken off", "left on"])
def test_a_proxys_prefix_is_known_whether_it_takes_it_off_or_not(prefixed, seen):
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{prefixed.port}{seen}", headers=headers, timeout=300) as client:
        answer = client.post("/v1/audio/transcriptions/", content=PCM, headers={"content-type": "audio/pcm"})
        assert answer.json()["text"] == "7"
        docs = client.get("/docs")
        assert "<code>/stt/openapi.json</code>, with the key" in docs.text
        files = re.findall(r'href="(/stt/docs/\w+\.\w+)"', docs.text)
        assert len(files) == 3
        assert all(client.get(path.removeprefix("/stt")).status_code == 200 for path in files)
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/stt"}]
        missed = client.post("/audio/transcriptions").json()["error"]["message"]
        assert "There is no /stt/audio/transcriptions " in missed
        assert " /stt/v1/audio/transcriptions?" in missed
        assert f" http://127.0.0.1:{prefixed.port}/stt/v1." in missed
        assert client.get("/v1/realtime").json()["error"]["message"].startswith("/stt/v1/realtime is a WebSocket")
    assert first_event(prefixed, f"{seen}/v1/realtime", additional_headers=headers) == "session.created"
    status, error = rejection_of(prefixed, f"{seen}/realtime", additional_headers=headers)
    assert (status, " /stt/v1/realtime?" in error["message"]) == (404, True)


def test_a_prefix_is_a_whole_segment(prefixed):
    headers = {"authorization": f"Bearer {KEY}"}
    assert prefixed.http.get("/sttx/v1/models", headers=headers).status_code == 404
    assert prefixed.http.get("/stt/stt/v1/models", headers=headers).status_code == 404
    assert prefixed.http.get("/stt/stt/healthz").status_code == 401


def test_probes_and_pages_under_a_prefix_are_not_in_the_metrics(tmp_path):
    with served(tmp_path, root_path="/stt") as service:
        for path in ("/stt/healthz", "/healthz/", "/stt/docs", "/openapi.json", "/stt", f"/stt{PAGE_FILE}"):
            assert service.http.get(path).status_code == 200
        service.http.get("/stt/v1/models")
    assert recorded(tmp_path) == ["/v1/models"]


def test_the_prefix_may_be_set_in_the_server(tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path)
    with serving(settings, lambda _: HeldModel(held=False), root_path="/stt") as service:
        assert service.http.get("/healthz").status_code == 200
        assert service.http.get("/stt/healthz").status_code == 200
        assert '"/stt/openapi.json"' in service.http.get("/docs").text
