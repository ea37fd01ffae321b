"""The Azure clients of OpenAI's Python SDK, unchanged, against the service on the bundled checkpoint."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from keys import KEY
from running_service import Service, serving
from sdk import CLIP, LENGTH_S, TEXT, check_stream, check_verbose_json
from sdk_realtime import BETA, COMPLETED, FIRST, GA, PCM16, Dialect, Event, Speech, check_session, commit, texts

from src.settings import Settings

# The SDK connects in a way that websockets advises against since 17.1.
pytestmark = pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")

DEPLOYMENT = "our-speech-to-text"
WAYS: dict[str, dict[str, Any]] = {
    "endpoint": {"api_key": KEY, "api_version": "2024-10-21"},
    "endpoint and deployment": {"api_key": KEY, "api_version": "2025-04-01-preview", "azure_deployment": DEPLOYMENT},
    "token": {"azure_ad_token": KEY, "api_version": "2024-10-21"},
    "hub id as deployment": {"api_key": KEY, "api_version": "2024-10-21", "azure_deployment": "nvidia/parakeet"},
}


@pytest.fixture(scope="module")
def guarded(tiny, tmp_path_factory) -> Iterator[Service]:
    settings = Settings(
        model_id="tiny", log_dir=tmp_path_factory.mktemp("logs"), max_queue_wait_s=60, api_keys=KEY, strict_model="1"
    )
    with serving(settings, lambda _: tiny) as running:
        running.http.headers["api-key"] = KEY
        yield running


@pytest.fixture(params=WAYS)
def options(request, guarded: Service) -> dict[str, Any]:
    address = f"127.0.0.1:{guarded.port}"
    # Where it is not told otherwise, the client takes TLS for granted.
    return {
        "azure_endpoint": f"http://{address}",
        "websocket_base_url": f"ws://{address}/openai",
        "max_retries": 0,
        **WAYS[request.param],
    }


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(params=["sync", "async"])
def client(request, options, runner) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """One of the two clients, and a function that runs its calls."""
    if request.param == "sync":
        with openai.AzureOpenAI(**options) as client:
            yield client, lambda result: result
        return

    async def awaited(call: Any) -> Any:
        return await call

    asynchronous = openai.AsyncAzureOpenAI(**options)
    yield asynchronous, lambda call: runner.run(awaited(call))
    runner.run(asynchronous.close())


def test_a_file_is_transcribed_by_whatever_deployment(client):
    azure, run = client
    create = azure.audio.transcriptions.create
    assert run(create(model=DEPLOYMENT, file=CLIP)).text == TEXT
    answer = run(create(model=DEPLOYMENT, file=CLIP, response_format="verbose_json", timestamp_granularities=["word"]))
    check_verbose_json(answer.to_dict(), ("word",))
    assert answer.duration == pytest.approx(LENGTH_S, abs=0.01)


def test_a_file_is_streamed(client, runner):
    azure, run = client
    stream = run(azure.audio.transcriptions.create(model=DEPLOYMENT, file=CLIP, stream=True))

    async def collected() -> list[Any]:
        return [event async for event in stream]

    events = runner.run(collected()) if isinstance(stream, openai.AsyncStream) else list(stream)
    check_stream([event.to_dict() for event in events])


def test_models_and_temporary_keys_are_where_the_client_looks_for_them(client):
    azure, run = client
    listed = run(azure.models.list())
    assert "whisper-1" in [model.id for model in listed.data]
    assert run(azure.models.retrieve("whisper-1")).object == "model"
    secret = run(azure.realtime.client_secrets.create(session={"type": "transcription"}))
    assert secret.value.startswith("ek_")
    wanted = {"type": "transcription", "audio": {"input": {"transcription": {"model": DEPLOYMENT}}}}
    assert run(azure.realtime.client_secrets.create(session=wanted)).value.startswith("ek_")


def test_a_translation_is_rejected_with_a_sentence(client):
    azure, run = client
    with pytest.deprecated_call(), pytest.raises(openai.BadRequestError) as refused:  # the SDK warns of the method
        run(azure.audio.translations.create(model=DEPLOYMENT, file=CLIP))
    assert refused.value.code == "unsupported_model"


CONNECTIONS = {GA: lambda azure: azure.realtime.connect, BETA: lambda azure: azure.beta.realtime.connect}


@pytest.mark.parametrize("dialect", [GA, BETA], ids=["ga", "beta"])
def test_a_session_gets_the_text_that_an_upload_of_its_audio_gets(client, guarded, dialect: Dialect):
    azure, run = client
    speech = Speech(FIRST)
    manager = CONNECTIONS[dialect](azure)(model=DEPLOYMENT)
    connection = run(manager.enter())
    events: list[Event] = []
    try:
        # As it is asked for a model, not for transcription, a beta session is told of by the name of all sessions.
        created = run(connection.recv()).to_dict()
        assert created["type"] == "session.created"
        events.append({**created, "type": dialect.created})
        run(connection.send(dialect.update(PCM16)))
        for step in (*speech.appends(), commit()):
            run(connection.send(step))
        while not events or events[-1]["type"] != COMPLETED:
            events.append(run(connection.recv()).to_dict())
    finally:
        run(connection.close())
    check_session(events, dialect, items=1)
    assert texts(events) == [speech.text(guarded)] != [""]


def test_a_wrong_key_raises_its_own_class(options):
    wrong = {**options, "api_key": "wrong", "azure_ad_token": None}
    with openai.AzureOpenAI(**wrong) as azure, pytest.raises(openai.AuthenticationError) as refused:
        azure.audio.transcriptions.create(model=DEPLOYMENT, file=CLIP)
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize("headers", [{}, {"api-key": KEY}], ids=["bearer", "api-key"])
def test_the_plain_client_works_with_azures_newer_base_url(guarded, headers):
    address = f"127.0.0.1:{guarded.port}/openai/v1"
    key = "unused" if headers else KEY
    with openai.OpenAI(base_url=f"http://{address}", api_key=key, default_headers=headers, max_retries=0) as client:
        assert client.audio.transcriptions.create(model=DEPLOYMENT, file=CLIP).text == TEXT
        with client.realtime.connect(model=DEPLOYMENT) as connection:
            assert connection.recv().type == "session.created"
