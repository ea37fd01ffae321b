"""Temporary keys: made over HTTP, valid for the WebSocket of every replica until they expire, with their settings."""

import json
from random import Random

import pytest
from guarded_service import address, bearer, guarded
from keys import KEY, OTHER_KEY, THIRD_KEY
from manual_clock import ManualClock
from openai import AsyncOpenAI, OpenAI
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import src.app
from src.api.temporary_keys import MAX_CHARS, TemporaryKeys

SESSION = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-4o-transcribe", "language": "en", "keywords": ["parakeet"]},
            "turn_detection": None,
        }
    },
}
ROUTES = ["/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("logs")) as running:
        yield running


def mint(service, body=None, route=ROUTES[0], key=KEY):
    return service.http.post(route, headers=bearer(key), json=body)


def created(service, secret, **options):
    """The first event of a session that is opened with a temporary key."""
    with connect(address(service), subprotocols=["realtime", f"openai-insecure-api-key.{secret}"], **options) as socket:
        return json.loads(socket.recv())


def test_a_secret_opens_sessions_that_begin_as_it_was_asked_for(service):
    answer = mint(service, {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": SESSION}).json()
    assert answer["value"].startswith("ek_")
    assert answer["session"]["type"] == "transcription"
    assert answer["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    for _ in range(2):  # it is good for many
        session = created(service, answer["value"])["session"]
        assert session["audio"] == answer["session"]["audio"]
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["audio"]["input"]["transcription"]["keywords"] == ["parakeet"]


def test_a_secret_may_be_sent_as_a_header_too(service):
    secret = mint(service).json()["value"]
    with connect(address(service), additional_headers=bearer(secret)) as socket:
        assert json.loads(socket.recv())["type"] == "session.created"


def test_a_page_may_ask_with_its_secret_why_a_websocket_was_refused(service):
    asked = service.http.get("/v1/realtime", headers=bearer(mint(service).json()["value"]))
    assert (asked.status_code, asked.json()["error"]["code"]) == (426, "upgrade_required")
    asked = service.http.get("/v1/realtime", headers=bearer("ek_0123456789abcdef"))
    assert (asked.status_code, asked.json()["error"]["code"]) == (401, "invalid_api_key")


def test_a_secret_opens_no_route_but_the_websocket(service):
    secret = mint(service).json()["value"]
    for path in ("/v1/models", "/openapi.json"):
        assert service.http.get(path, headers=bearer(secret)).status_code == 401
    for route in ROUTES:
        assert mint(service, route=route, key=secret).status_code == 401


def test_the_sdk_mints_secrets_in_both_protocols(service):
    client = OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key=KEY)
    with client:
        ga = client.realtime.client_secrets.create(session=SESSION)
        assert created(service, ga.value)["type"] == "session.created"
        beta = client.beta.realtime.transcription_sessions.create(
            input_audio_format="g711_ulaw", input_audio_transcription={"language": "en"}
        )
        assert beta.input_audio_format == "g711_ulaw"
        told = created(service, beta.client_secret.value, additional_headers={"OpenAI-Beta": "realtime=v1"})
        assert told["session"]["input_audio_format"] == "g711_ulaw"


async def test_the_sdk_connects_with_a_secret(service):
    secret = mint(service, {"session": SESSION}).json()["value"]
    async with (
        AsyncOpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key=secret) as client,
        client.realtime.connect(model="whisper-1") as connection,
    ):
        assert (await connection.recv()).type == "session.created"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": "soon"}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "tomorrow"}}, "expires_after.anchor"),
        ({"session": 7}, "session"),
        ({"session": {"type": "translation"}}, "session.type"),
        ({"session": {"audio": {"input": {"format": {"type": "mp3"}}}}}, "session.audio.input.format"),
        ({"session": {"audio": {"input": {"transcription": {"language": "xx"}}}}}, None),
    ],
)
def test_an_invalid_value_is_rejected_with_its_name(service, body, param):
    answer = mint(service, body)
    assert answer.status_code == 400
    assert param is None or answer.json()["error"]["param"].startswith(param)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"\xff", b"[" * 10_000])
def test_a_body_that_is_not_an_object_is_rejected(service, route, body):
    answer = service.http.post(route, headers=bearer(KEY), content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_is_short(service, route):
    assert service.http.post(route, headers=bearer(KEY), content=b" " * 20_000).status_code == 413


@pytest.mark.parametrize("route", ROUTES)
def test_no_body_means_the_defaults(service, route):
    answer = service.http.post(route, headers=bearer(KEY))
    assert answer.status_code == 200


@pytest.mark.parametrize("nothing", [None, "", "null", "None", "undefined"])
def test_what_stands_for_nothing_means_the_defaults(service, nothing):
    bodies = [
        {"expires_after": nothing, "session": nothing},
        {"expires_after": {"anchor": nothing, "seconds": nothing}},
    ]
    transcription = {"model": nothing, "language": nothing, "prompt": nothing}
    bodies += [{"session": {"audio": {"input": {"transcription": transcription}}}}]
    for body in bodies:
        answer = mint(service, body)
        assert answer.status_code == 200
        detection = answer.json()["session"]["audio"]["input"]["turn_detection"]
        assert detection["type"] == "server_vad"
    off = mint(service, {"session": {"audio": {"input": {"turn_detection": {"type": "none"}}}}})
    assert off.json()["session"]["audio"]["input"]["turn_detection"] is None


def test_a_secret_counts_for_the_key_that_made_it(tmp_path):
    with guarded(tmp_path, max_concurrent_per_key=1) as service:
        mine, others = (mint(service, key=key).json()["value"] for key in (KEY, OTHER_KEY))
        with connect(address(service), additional_headers=bearer(mine)) as session:
            session.recv()
            with pytest.raises(InvalidStatus) as rejected, connect(address(service), additional_headers=bearer(mine)):
                pass
            assert rejected.value.response.status_code == 429
            assert created(service, others)["type"] == "session.created"


def refused(service, secret) -> str:
    """The code of the error that a session with a temporary key gets."""
    with pytest.raises(InvalidStatus) as rejected, connect(address(service), additional_headers=bearer(secret)):
        pass
    assert rejected.value.response.status_code == 401
    return json.loads(rejected.value.response.body)["error"]["code"]


def test_a_secret_of_one_replica_is_good_at_the_others_and_counts_there_for_the_key_that_made_it(service, tmp_path):
    secret = mint(service, {"session": SESSION}).json()["value"]
    with (
        guarded(tmp_path, api_keys=f"{THIRD_KEY},{OTHER_KEY},{KEY}", max_concurrent_per_key=1) as replica,
        connect(address(replica), additional_headers=bearer(secret)) as socket,
    ):
        begun = json.loads(socket.recv())["session"]["audio"]["input"]
        assert begun["format"] == {"type": "audio/pcmu"}
        assert begun["transcription"]["keywords"] == ["parakeet"]
        assert mint(replica, key=KEY).status_code == 429
        assert mint(replica, key=OTHER_KEY).status_code == 200


def test_after_a_restart_the_secrets_of_a_key_that_was_removed_are_good_no_longer(tmp_path):
    with guarded(tmp_path, secret_key="sign with this") as service:
        removed, kept = (mint(service, key=key).json()["value"] for key in (KEY, OTHER_KEY))
        assert created(service, removed)["type"] == "session.created"
    with guarded(tmp_path, secret_key=" sign with this\n", api_keys=f"{OTHER_KEY},sk-new") as restarted:
        assert refused(restarted, removed) == "invalid_api_key"
        assert created(restarted, kept)["type"] == "session.created"


@pytest.mark.parametrize("part", [slice(3, 4), slice(40, 41), slice(-44, -43), slice(-1, None)])
def test_a_secret_that_was_changed_opens_nothing(service, part):
    secret = list(mint(service).json()["value"])
    secret[part] = "B" if secret[part] != ["B"] else "C"
    assert refused(service, "".join(secret)) == "invalid_api_key"


def test_the_longest_secret_fits_beside_all_that_sdks_send_and_longer_settings_are_refused(service):
    noise, fitting, too_long = "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=12_000)), 0, 12_000
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        body = {"session": {"audio": {"input": {"transcription": {"prompt": noise[:middle]}}}}}
        answer = mint(service, body)
        if answer.status_code == 200:
            secret, fitting = answer.json()["value"], middle
        else:
            error, too_long = answer.json()["error"], middle
    assert (error["code"], error["param"]) == ("invalid_value", "session")
    assert "session.update" in error["message"]
    assert len(secret) > MAX_CHARS - 10
    protocols = ["realtime", f"openai-insecure-api-key.{secret}", "openai-beta.realtime-v1", "openai-project.proj_0123"]
    for sent in (
        {"subprotocols": protocols},
        {"additional_headers": bearer(secret)},
        {"uri": f"{address(service)}?api-key={secret}"},
    ):
        with connect(**{"uri": address(service)} | sent) as socket:
            session = json.loads(socket.recv())["session"]
        told = session.get("audio", {}).get("input", {}).get("transcription") or session["input_audio_transcription"]
        assert told["prompt"] == noise[:fitting]


@pytest.mark.parametrize("prompt", ["\0", "\u2028ß 🦜"])
def test_odd_text_in_the_settings_is_kept(service, prompt):
    secret = mint(service, {"session": {"audio": {"input": {"transcription": {"prompt": prompt}}}}}).json()["value"]
    assert created(service, secret)["session"]["audio"]["input"]["transcription"]["prompt"] == prompt


@pytest.mark.parametrize("setting", [{"transcription": {"prompt": "\ud800"}}, {"noise_reduction": {"type": "\udfff"}}])
def test_text_that_no_answer_could_repeat_is_refused(service, setting):
    body = json.dumps({"session": {"audio": {"input": setting}}})
    answer = service.http.post(ROUTES[0], headers=bearer(KEY), content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_value")


def test_minting_waits_for_the_model_and_works_without_keys(tmp_path):
    with guarded(tmp_path, api_keys="") as service:
        secret = mint(service, {"session": SESSION}, key="none").json()["value"]
        assert created(service, secret)["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}


def test_a_secret_that_has_expired_opens_nothing(tmp_path, monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(src.app, "TemporaryKeys", lambda *options: TemporaryKeys(*options, now=clock))
    with guarded(tmp_path) as service:
        answer = mint(service, {"expires_after": {"seconds": 60}}).json()
        secret = answer["value"]
        assert answer["expires_at"] == clock.now_s + 60
        clock.now_s += 59
        assert created(service, secret)["type"] == "session.created"
        clock.now_s += 1
        for sent in ({"additional_headers": bearer(secret)}, {"subprotocols": [f"openai-insecure-api-key.{secret}"]}):
            with pytest.raises(InvalidStatus) as rejected, connect(address(service), **sent):
                pass
            assert rejected.value.response.status_code == 401
        assert service.http.get("/v1/models", headers=bearer(secret)).status_code == 401
