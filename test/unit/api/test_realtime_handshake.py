"""The handshake of `WS /v1/realtime`: which dialect a client speaks, at which rate, with which model."""

import time
from urllib.parse import quote

import pytest
from fastapi import WebSocket
from starlette.requests import HTTPConnection

from src.api.keys import ANONYMOUS, Credential
from src.api.realtime_handshake import read_handshake
from src.audio.pcm_stream import AudioFormat, Encoding
from src.errors import InvalidRequest, ModelNotFound
from src.realtime.config import AudioTranscription, SessionConfig
from src.realtime.session_params import SessionParams
from src.settings import Settings
from src.wire.model_names import ServedModel

SETTINGS = Settings(realtime_rate=16_000, realtime_openai_rate=24_000, realtime_session_s=60)
SERVED = ServedModel("nvidia/parakeet", "auto")


def shake(
    query: str = "",
    *,
    headers: dict[str, str] | None = None,
    subprotocols: tuple[str, ...] = (),
    path: str = "/v1/realtime",
    credential: Credential = ANONYMOUS,
) -> SessionParams:
    """Return what a connection like this says about its client."""
    scope = {
        "type": "websocket",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "subprotocols": list(subprotocols),
        "state": {"credential": credential},
    }

    async def unused(*_: object) -> None:
        raise AssertionError

    return read_handshake(WebSocket(scope, unused, unused), SETTINGS, SERVED)


def test_a_plain_request_is_read_as_the_websocket_would_be():
    scope = {"type": "http", "path": "/v1/realtime", "headers": [], "state": {"credential": ANONYMOUS}}
    params = read_handshake(HTTPConnection(scope | {"query_string": b"intent=transcription"}), SETTINGS, SERVED)
    assert (params.transcription, params.intent) == (True, True)
    with pytest.raises(ModelNotFound):
        read_handshake(HTTPConnection(scope | {"query_string": b"model=gpt-4o"}), SETTINGS, SERVED)


def test_a_client_that_says_nothing_speaks_the_simple_dialect_at_the_services_rate():
    before = int(time.time())
    params = shake()
    assert before <= params.expires_at - SETTINGS.realtime_session_s <= time.time()
    assert (params.transcription, params.beta, params.intent, params.config) == (False, False, False, None)
    assert (params.rate, params.pcm16_rate, params.model) == (16_000, 24_000, SERVED.name)
    assert params.session_id.startswith("sess_")
    assert params.session_id != shake().session_id


@pytest.mark.parametrize(
    "sign",
    [
        {"query": "intent=transcription"},
        {"query": "model=whisper-1"},
        {"query": "model=undefined"},  # OpenAI's JavaScript SDK, where it is given none
        {"headers": {"User-Agent": "AsyncOpenAI/Python 3.54.0"}},
        {"headers": {"User-Agent": "LiveKit Agents"}},
        {"headers": {"User-Agent": "pipecat/1.14.0"}},
        {"headers": {"X-Stainless-Lang": "js"}},
        {"headers": {"OpenAI-Beta": "realtime=v1"}},
        {"subprotocols": ("realtime", "openai-insecure-api-key.abc")},
        {"subprotocols": ("realtime", "openai-beta.realtime-v1")},
        {"path": "/openai/realtime"},
    ],
    ids=str,
)
def test_each_sign_of_an_openai_client_means_its_dialect_and_its_rate(sign):
    params = shake(**sign)
    assert params.transcription
    assert params.rate == params.pcm16_rate == 24_000


@pytest.mark.parametrize(
    "no_sign",
    [
        {"query": "intent=undefined&model="},
        {"query": "intent=conversation"},
        {"headers": {"User-Agent": "Python/3.11 websockets/17.4"}},
        {"subprotocols": ("realtime",)},
    ],
    ids=str,
)
def test_what_others_send_too_is_no_sign_of_an_openai_client(no_sign):
    assert not shake(**no_sign).transcription


@pytest.mark.parametrize(
    ("sign", "beta"),
    [
        ({"headers": {"OpenAI-Beta": "realtime=v1"}}, True),
        ({"subprotocols": ("realtime", "openai-beta.realtime-v1")}, True),
        ({"query": "intent=transcription"}, False),
    ],
)
def test_beta_is_named_by_a_header_or_a_subprotocol(sign, beta):
    assert shake(**sign).beta == beta


def test_the_intent_of_a_transcription_is_known():
    assert shake("intent=transcription").intent
    assert not shake("model=whisper-1").intent


@pytest.mark.parametrize(
    ("query", "rate", "pcm16_rate"),
    [
        ("sample_rate=8000", 8_000, 8_000),
        ("sample_rate=48000&intent=transcription", 48_000, 48_000),
        ("sample_rate=", 16_000, 24_000),
        ("sample_rate=None&intent=transcription", 24_000, 24_000),
    ],
)
def test_a_rate_in_the_query_holds_for_every_pcm16(query, rate, pcm16_rate):
    params = shake(query)
    assert (params.rate, params.pcm16_rate) == (rate, pcm16_rate)


@pytest.mark.parametrize(
    "rate", ["4000", "7999", "48001", "fast", "-16000", "16000.0", "0016000", "\u0661\u0666000", "16 000"]
)
def test_an_invalid_rate_is_an_error_that_names_its_parameter(rate):
    with pytest.raises(InvalidRequest) as raised:
        shake(f"sample_rate={quote(rate)}")
    assert raised.value.param == "sample_rate"
    assert rate in raised.value.message


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ("model=whisper-1", "whisper-1"),
        ("model=gpt-realtime", "gpt-realtime"),  # clients that cannot connect without a model name a conversational one
        ("model=gpt-4o-realtime-preview", "gpt-4o-realtime-preview"),
        ("model=gpt-4o-mini-realtime-preview", "gpt-4o-mini-realtime-preview"),
        ("model=null", SERVED.name),
    ],
)
def test_models_that_clients_name(query, model):
    assert shake(query).model == model


def test_a_model_that_is_not_served_is_an_error():
    with pytest.raises(ModelNotFound):
        shake("model=gpt-4o")


def test_a_temporary_key_brings_its_configuration_and_the_openai_dialect():
    config = SessionConfig(AudioFormat(Encoding.PCM16, 24_000), 24_000, AudioTranscription())
    params = shake(credential=Credential(None, config))
    assert params.config is config
    assert params.transcription
