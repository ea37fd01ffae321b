"""Pages of other origins, on a service without keys: over HTTP and in place of a WebSocket."""

import json

import pytest
from fakes import HeldModel, clip
from keys import KEY
from media import pcm16
from running_service import serving
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from src.settings import Settings

EVIL = "https://evil.example.com"


def handshake(service, origin, query=""):
    with connect(f"ws://127.0.0.1:{service.port}/v1/realtime{query}", origin=origin) as ws:
        return json.loads(ws.recv())["type"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    settings = Settings(
        model_id="tiny", log_dir=tmp_path_factory.mktemp("logs"), cors_origins="https://app.example.com"
    )
    with serving(settings, lambda _: HeldModel(held=False)) as running:
        yield running


@pytest.mark.parametrize("origin", [EVIL, "null", "file://", "http://localhost:3000", "chrome-extension://abcdef"])
def test_a_foreign_page_cannot_stream_or_upload(service, origin):
    with pytest.raises(InvalidStatus) as rejected:
        handshake(service, origin)
    response = rejected.value.response
    assert (response.status_code, json.loads(response.body)["error"]["code"]) == (403, "origin_not_allowed")
    answer = service.http.post(
        "/v1/audio/transcriptions", content=pcm16(clip(1)), headers={"content-type": "audio/pcm", "origin": origin}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "PARAKEET_CORS_ORIGINS" in answer.json()["error"]["message"]
    assert "access-control-allow-origin" not in answer.headers


def test_listed_pages_its_own_and_clients_without_an_origin_may(service):
    for origin in ("https://app.example.com", f"http://127.0.0.1:{service.port}", None):
        assert handshake(service, origin) == "session.created"
    answer = service.http.post(
        "/v1/audio/transcriptions",
        content=pcm16(clip(1)),
        headers={"content-type": "audio/pcm", "origin": "https://app.example.com"},
    )
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example.com")


def test_a_page_whose_name_was_made_to_lead_here_may_not(service):
    rebound = {"host": f"evil.example.com:{service.port}", "origin": f"http://evil.example.com:{service.port}"}
    answer = service.http.post("/v1/audio/transcriptions", content=pcm16(clip(1)), headers=rebound)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("options", [{"cors_origins": "*"}, {"api_keys": KEY}], ids=["all allowed", "keys"])
def test_where_all_may_call_or_keys_are_asked_for_the_origin_does_not_count(tmp_path, options):
    settings = Settings(model_id="tiny", log_dir=tmp_path, **options)
    with serving(settings, lambda _: HeldModel(held=False)) as running:
        url = f"ws://127.0.0.1:{running.port}/v1/realtime"
        with connect(url, origin=Origin(EVIL), additional_headers={"authorization": f"Bearer {KEY}"}) as ws:
            assert json.loads(ws.recv())["type"] == "session.created"
