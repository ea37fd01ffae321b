"""Authentication over every route and both transports, and the concurrency limits of keys and addresses."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import client
import httpx
import pytest
import warmup
from fakes import HeldModel, clip
from guarded_service import address, bearer, guarded
from keys import KEY, OTHER_KEY, THIRD_KEY
from media import CLIPS
from openai import AuthenticationError, OpenAI, RateLimitError
from running_service import Service, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

PCM = (clip(7) * 32767).astype("<i2").tobytes()
ROUTES = [
    ("GET", "/v1/models"),
    ("GET", "/v1/models/whisper-1"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/audio/translations"),
    ("POST", "/v1/realtime/client_secrets"),
    ("POST", "/v1/realtime/transcription_sessions"),
    ("GET", "/v1/realtime"),
    ("GET", "/openapi.json"),
    ("GET", "/no/such/route"),
    ("OPTIONS", "/v1/audio/transcriptions"),
    ("DELETE", "/v1/models"),
]
WRONG = [
    None,
    "",
    "Bearer",
    "Bearer wrong",
    f"Bearer {KEY.swapcase()}",
    f"Bearer {KEY[:-1]}",
    f"Bearer {KEY}x",
    f"Bearer {KEY} {OTHER_KEY}",
    f"Bearer {KEY},{OTHER_KEY}",
    f"Basic {KEY}",
    KEY,
    "Bearer kéy",
    "Bearer ek_0123456789abcdef",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_a_right_key(service, method, path):
    for given in WRONG:
        headers = {} if given is None else {"authorization": given.encode()}
        answer = service.http.request(method, path, headers=headers, content=PCM if method == "POST" else None)
        assert answer.status_code == 401, given
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["x-request-id"]
        assert KEY not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/"])
def test_probes_and_pages_need_no_key(service, path):
    assert service.http.get(path).status_code == 200


@pytest.mark.parametrize("key", [KEY, OTHER_KEY, THIRD_KEY])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_each_key_opens_the_routes_whatever_the_case_of_the_scheme(service, key, scheme):
    headers = {"authorization": f"{scheme} {key}", "content-type": "audio/pcm"}
    assert service.http.post("/v1/audio/transcriptions", content=PCM, headers=headers).json()["text"] == "7"
    assert service.http.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("given", WRONG)
def test_no_websocket_is_opened_without_a_right_key(service, given):
    headers = {} if given is None or not given.isascii() else {"Authorization": given}
    with pytest.raises(InvalidStatus) as rejected, connect(address(service), additional_headers=headers):
        pass
    assert rejected.value.response.status_code == 401
    assert json.loads(rejected.value.response.body)["error"]["code"] == "invalid_api_key"


def test_a_rejected_websocket_is_not_an_error_of_the_server(service, caplog):
    with pytest.raises(InvalidStatus), connect(address(service)):
        pass
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_websocket_is_opened_by_a_header_or_by_a_subprotocol(service):
    with connect(address(service), additional_headers=bearer(KEY)) as socket:
        assert json.loads(socket.recv())["type"] == "session.created"
    with connect(address(service), subprotocols=["realtime", f"openai-insecure-api-key.{KEY}"]) as socket:
        assert socket.subprotocol == "realtime"
        assert json.loads(socket.recv())["type"] == "session.created"
    with pytest.raises(InvalidStatus), connect(address(service), subprotocols=["realtime", f"{KEY}"]):
        pass


def test_a_wrong_key_in_a_header_is_rejected_whatever_the_subprotocol(service):
    protocols = ["realtime", f"openai-insecure-api-key.{KEY}"]
    with (
        pytest.raises(InvalidStatus),
        connect(address(service), additional_headers=bearer("wrong"), subprotocols=protocols),
    ):
        pass


def test_the_sdk_raises_for_a_wrong_key_what_it_raises_for_openais(service):
    client = OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key="sk-wrong", max_retries=0)
    with client, pytest.raises(AuthenticationError) as error, (CLIPS / "piper-joe-1.flac").open("rb") as file:
        client.audio.transcriptions.create(model="whisper-1", file=file)
    assert error.value.code == "invalid_api_key"


def test_without_keys_every_key_is_accepted(tmp_path):
    with guarded(tmp_path, api_keys="") as service:
        for headers in ({}, bearer("anything")):
            assert service.http.get("/v1/models", headers=headers).status_code == 200


def test_keys_can_come_from_a_file(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"# of the web team\n{KEY}\n\n  {OTHER_KEY}  \n")
    with guarded(tmp_path, api_keys=str(keys)) as service:
        assert service.http.get("/v1/models", headers=bearer(OTHER_KEY)).status_code == 200
        assert service.http.get("/v1/models", headers=bearer("# of the web team")).status_code == 401


def transcribe(service, key):
    headers = bearer(key) | {"content-type": "audio/pcm"}
    with httpx.Client(base_url=service.http.base_url, timeout=300) as client:
        return client.post("/v1/audio/transcriptions", content=PCM, headers=headers)


def assert_at_its_limit(service: Service, headers: dict[str, str]) -> None:
    """Neither a request nor a session of the client is accepted, while a GET is."""
    rejected = service.http.post("/v1/audio/transcriptions", content=PCM, headers=headers)
    assert rejected.status_code == 429
    assert rejected.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(rejected.headers["retry-after"]) >= 1
    with pytest.raises(InvalidStatus) as no_session, connect(address(service), additional_headers=headers):
        pass
    assert no_session.value.response.status_code == 429
    asked = service.http.get("/v1/realtime", headers=headers)  # as a page does, which cannot read the answer above
    assert (asked.status_code, asked.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert asked.headers["retry-after"] == no_session.value.response.headers["retry-after"]
    assert service.http.get("/v1/models", headers=headers).status_code == 200


def test_a_key_has_a_limit_of_requests_at_a_time_and_others_are_served_meanwhile(tmp_path):
    model = HeldModel()
    with guarded(tmp_path, model, max_concurrent_per_key=2) as service, ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(transcribe, service, KEY) for _ in range(2)]
        until(lambda: service.scheduler.admitted == 2)
        assert_at_its_limit(service, bearer(KEY))
        other = threads.submit(transcribe, service, OTHER_KEY)
        model.release_all()
        assert [each.result().status_code for each in [*busy, other]] == [200, 200, 200]
        assert transcribe(service, KEY).status_code == 200


def test_a_session_counts_for_its_key_until_it_ends(tmp_path):
    with guarded(tmp_path, max_concurrent_per_key=1) as service:
        with connect(address(service), additional_headers=bearer(KEY)) as session:
            session.recv()
            client = OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key=KEY, max_retries=0)
            with client, pytest.raises(RateLimitError):
                client.audio.transcriptions.create(model="whisper-1", file=("a.pcm", PCM))
        until(lambda: not len(service.sessions))
        until(lambda: transcribe(service, KEY).status_code == 200)


def test_a_page_of_an_allowed_origin_may_send_a_key(tmp_path):
    asked = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-stainless-lang,content-type",
    }
    with guarded(tmp_path, cors_origins="https://app.example.com, http://localhost:3000") as service:
        allowed = service.http.options("/v1/audio/transcriptions", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "x-stainless-lang" in allowed.headers["access-control-allow-headers"]
        wrong_key = service.http.get("/v1/models", headers={"origin": "http://localhost:3000"})
        assert wrong_key.status_code == 401
        assert wrong_key.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "x-request-id" in wrong_key.headers["access-control-expose-headers"].lower()
        elsewhere = service.http.options("/v1/models", headers=asked | {"origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in elsewhere.headers


def test_by_default_no_page_may_call(service):
    answer = service.http.get("/v1/models", headers=bearer(KEY) | {"origin": "https://app.example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_key_is_checked_before_the_body_is_read(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=300) as connection:
        connection.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("flags", [[], ["--ws"]])
def test_the_load_clients_send_a_key(service, tmp_path, capsys, flags):
    def warm_up(*more):
        url = f"http://127.0.0.1:{service.port}"
        return client.run(lambda: warmup.main(["--url", url, "--results", str(tmp_path), *flags, *more]))

    assert warm_up() != 0
    assert "401" in capsys.readouterr().err
    assert warm_up("--key", KEY) == 0


def test_an_address_has_a_limit_of_requests_at_a_time_without_keys(tmp_path):
    model = HeldModel()
    settings = {"api_keys": "", "max_concurrent_per_client": 2}
    with guarded(tmp_path, model, **settings) as service, ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(transcribe, service, KEY) for _ in range(2)]
        until(lambda: service.scheduler.admitted == 2)
        assert_at_its_limit(service, {})
        elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(base_url=service.http.base_url, timeout=300, transport=elsewhere) as client:
            pcm = {"content-type": "audio/pcm"}
            other = threads.submit(client.post, "/v1/audio/transcriptions", content=PCM, headers=pcm)
            until(lambda: service.scheduler.admitted == 3)
            model.release_all()
            assert [each.result().status_code for each in [*busy, other]] == [200, 200, 200]
        assert transcribe(service, KEY).status_code == 200


def test_keys_are_not_counted_by_address(tmp_path):
    with (
        guarded(tmp_path, max_concurrent_per_client=1) as service,
        connect(address(service), additional_headers=bearer(KEY)) as session,
    ):
        session.recv()
        assert transcribe(service, KEY).status_code == 200
