"""The realtime clients of OpenAI's Python SDK, unchanged, against the service on the bundled checkpoint."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import openai
import pytest
from openai.types import realtime as ga
from openai.types.beta import realtime as beta
from running_service import Service, serving
from sdk_realtime import (
    BETA,
    CLEAR,
    CLEARED,
    COMMITTED,
    COMPLETED,
    DELTA,
    ENCODINGS,
    FAILED,
    FIRST,
    GA,
    PCM16,
    SECOND,
    SERVER_VAD,
    STARTED,
    STOPPED,
    Dialect,
    Event,
    Speech,
    append,
    check_empty_commit,
    check_session,
    check_turns,
    commit,
    errors,
    kinds,
    of_kind,
    texts,
    wait,
)
from websockets.exceptions import InvalidStatus

from src.settings import Settings

# The SDK connects in a way that websockets advises against since 17.1.
pytestmark = pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")

INTENT = {"extra_query": {"intent": "transcription"}}
CONNECTIONS = {
    GA: lambda client, **query: client.realtime.connect(**(query or INTENT)),
    BETA: lambda client, **query: client.beta.realtime.connect(**({"model": "gpt-4o-transcribe"} | (query or INTENT))),
}

COMMON = {
    STARTED: "InputAudioBufferSpeechStartedEvent",
    STOPPED: "InputAudioBufferSpeechStoppedEvent",
    COMMITTED: "InputAudioBufferCommittedEvent",
    CLEARED: "InputAudioBufferClearedEvent",
    DELTA: "ConversationItemInputAudioTranscriptionDeltaEvent",
    COMPLETED: "ConversationItemInputAudioTranscriptionCompletedEvent",
    FAILED: "ConversationItemInputAudioTranscriptionFailedEvent",
}
CLASSES = {
    GA: COMMON
    | {
        "session.created": "SessionCreatedEvent",
        "session.updated": "SessionUpdatedEvent",
        "conversation.item.added": "ConversationItemAdded",
        "conversation.item.done": "ConversationItemDone",
        "error": "RealtimeErrorEvent",
    },
    BETA: COMMON
    | {
        # The SDK has no class for these, and uses the first that it knows.
        "transcription_session.created": "ConversationCreatedEvent",
        "transcription_session.updated": "TranscriptionSessionUpdatedEvent",
        "conversation.item.created": "ConversationItemCreatedEvent",
        "error": "ErrorEvent",
    },
}
"""The SDK's classes by the types of their events."""


class User:
    """A user of one of the two clients in one of the two dialects."""

    def __init__(self, client: Any, dialect: Dialect, run: Callable[[Any], Any]) -> None:
        """`run` returns the result of a call of the client."""
        self.dialect = dialect
        self._client = client
        self._run = run

    def talk(self, steps: Sequence[Event], **query: str) -> list[Event]:
        """Take the steps on a new connection. Return the events received, and check the class of each."""
        manager = CONNECTIONS[self.dialect](self._client, **query)
        connection = self._run(manager.enter())
        events: list[Any] = []
        try:
            for step in steps:
                self._do(connection, step, events)
        finally:
            self._run(connection.close())
        assert {event.type: type(event).__name__ for event in events}.items() <= CLASSES[self.dialect].items()
        return [event.to_dict() for event in events]

    def _do(self, connection: Any, step: Event, events: list[Any]) -> None:
        if "wait" in step:
            while [event.type for event in events].count(step["wait"]) < step["times"]:
                events.append(self._run(connection.recv()))
            return
        fields = dict(step)
        resource, method = fields.pop("type").split(".")
        self._run(getattr(getattr(connection, resource), method)(**fields))


@pytest.fixture(scope="module")
def options(service: Service) -> dict[str, Any]:
    address = f"127.0.0.1:{service.port}/v1"
    # Unless it is configured otherwise, the beta client assumes TLS.
    return {"base_url": f"http://{address}", "websocket_base_url": f"ws://{address}", "api_key": "none"}


@pytest.fixture(scope="module")
def client(options) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(**options) as client:
        yield client


@pytest.fixture(scope="module")
def run_async() -> Iterator[Callable[[Any], Any]]:
    with asyncio.Runner() as runner:
        yield lambda call: runner.run(_awaited(call))


async def _awaited(call: Any) -> Any:
    return await call


@pytest.fixture(scope="module")
def client_async(options, run_async) -> Iterator[openai.AsyncOpenAI]:
    client = openai.AsyncOpenAI(**options)
    yield client
    run_async(client.close())


@pytest.fixture(params=["sync", "async"])
def dial(request) -> Callable[[Dialect], User]:
    """Return a user of one of the two clients in a dialect."""
    if request.param == "sync":
        client = request.getfixturevalue("client")
        return lambda dialect: User(client, dialect, lambda result: result)
    client_async, run = (request.getfixturevalue(name) for name in ("client_async", "run_async"))
    return lambda dialect: User(client_async, dialect, run)


@pytest.fixture(params=[GA, BETA], ids=["ga", "beta"])
def user(request, dial) -> User:
    return dial(request.param)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_commit_gets_the_text_that_an_upload_of_the_audio_gets(user: User, service: Service, encoding):
    speech = Speech(FIRST, encoding=ENCODINGS[encoding])
    events = user.talk([user.dialect.update(speech.encoding), *speech.appends(), commit(), wait()])
    check_session(events, user.dialect, items=1)
    assert kinds(events)[:3] == [user.dialect.created, user.dialect.updated, COMMITTED]
    assert texts(events) == [speech.text(service)] != [""]


def test_a_session_echoes_what_was_requested(user: User):
    encoding = ENCODINGS["g711_ulaw"]
    events = user.talk([user.dialect.update(encoding, SERVER_VAD), wait(user.dialect.updated)])
    state = events[-1]["session"]
    assert state["id"].startswith("sess_")
    audio_settings = state["audio"]["input"] if user.dialect is GA else state
    assert audio_settings["turn_detection"] == SERVER_VAD
    assert audio_settings["format" if user.dialect is GA else "input_audio_format"] in (encoding.ga, encoding.beta)
    transcription = audio_settings["transcription" if user.dialect is GA else "input_audio_transcription"]
    assert transcription["model"] == "gpt-4o-transcribe"


def test_items_of_a_session_follow_one_another(user: User, service: Service):
    first, second = Speech(FIRST), Speech(SECOND)
    pipelined = [*first.appends(), commit(), *second.appends(), commit()]
    events = user.talk(
        [
            user.dialect.update(PCM16),
            *pipelined,
            wait(COMPLETED, 2),
            *first.appends(),
            commit(),
            wait(COMPLETED, 3),
        ]
    )
    check_session(events, user.dialect, items=3)
    assert texts(events) == [first.text(service), second.text(service), first.text(service)]


def test_turns_are_found_without_a_commit(user: User, service: Service):
    speech = Speech(0.5, FIRST, 1.0, SECOND, 1.0)
    events = user.talk([user.dialect.update(PCM16, SERVER_VAD), *speech.appends(), wait(COMPLETED, 2)])
    check_session(events, user.dialect, items=2)
    check_turns(events, speech, service)
    assert texts(events) == [Speech(FIRST).text(service), Speech(SECOND).text(service)]


def test_a_commit_takes_speech_that_has_not_ended(user: User, service: Service):
    speech = Speech(FIRST)
    events = user.talk([user.dialect.update(PCM16, SERVER_VAD), *speech.appends(), wait(STARTED), commit(), wait()])
    check_session(events, user.dialect, items=1)
    assert [event["item_id"] for event in of_kind(events, STARTED)] == [
        event["item_id"] for event in of_kind(events, COMMITTED)
    ]
    assert of_kind(events, STOPPED) == []
    assert texts(events) == [speech.text(service)]


def test_a_commit_of_nothing_is_an_error_that_names_it_and_the_session_goes_on(user: User, service: Service):
    speech = Speech(FIRST)
    steps = [commit(event_id="mine"), append(bytes(4000)), commit(event_id="short"), CLEAR, wait(CLEARED)]
    events = user.talk([user.dialect.update(PCM16), *steps, *speech.appends(), commit(), wait()])
    check_empty_commit(errors(events), "mine", "short")
    check_session(events, user.dialect, items=1)
    assert texts(events) == [speech.text(service)]


def test_what_is_cleared_is_not_transcribed(user: User, service: Service):
    forgotten, wanted = Speech(SECOND), Speech(FIRST)
    events = user.talk(
        [
            user.dialect.update(PCM16),
            *forgotten.appends(),
            CLEAR,
            wait(CLEARED),
            *wanted.appends(),
            commit(),
            wait(),
        ]
    )
    check_session(events, user.dialect, items=1)
    assert kinds(events)[:4] == [user.dialect.created, user.dialect.updated, CLEARED, COMMITTED]
    assert texts(events) == [wanted.text(service)]


def test_a_clear_right_after_a_commit_takes_nothing_away(user: User, service: Service):
    speech = Speech(FIRST)
    events = user.talk([user.dialect.update(PCM16), *speech.appends(), commit(), CLEAR, wait(CLEARED), wait()])
    check_session(events, user.dialect, items=1)
    assert kinds(events).index(CLEARED) > kinds(events).index(COMMITTED)
    assert texts(events) == [speech.text(service)]


def test_silence_has_an_empty_text(user: User):
    events = user.talk([user.dialect.update(PCM16), *Speech(1.0).appends(), commit(), wait()])
    check_session(events, user.dialect, items=1)
    assert texts(events) == [""]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-realtime-preview"])
def test_a_connection_with_a_model_alone_transcribes_turns_at_24_khz(dial, service: Service, model):
    speech = Speech(0.5, FIRST, 1.0)
    events = dial(GA).talk([*speech.appends(), wait()], model=model)
    check_session(events, GA, items=1)
    assert kinds(events)[:2] == ["session.created", STARTED]
    check_turns(events, speech, service)


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "gpt-realtime-whisper"])
def test_models_without_turn_detection_wait_for_commits(dial, service: Service, model):
    speech = Speech(FIRST, 1.0)
    events = dial(GA).talk([*speech.appends(), commit(), wait()], model=model)
    assert STARTED not in kinds(events)
    assert texts(events) == [speech.text(service)]


def test_a_model_that_is_not_served_is_rejected(dial):
    with pytest.raises(InvalidStatus) as caught:
        dial(GA).talk([wait("session.created")], model="gpt-9000")
    assert caught.value.response.status_code == 404
    assert b"model_not_found" in caught.value.response.body


def test_handlers_get_their_events(client: openai.OpenAI, service: Service):
    speech = Speech(FIRST)
    seen = []
    with client.realtime.connect(**INTENT) as connection:

        @connection.on("session.created")
        def configure(event: ga.SessionCreatedEvent) -> None:
            connection.send(GA.update(PCM16))
            for each in [commit(event_id="early"), *speech.appends(), commit()]:
                connection.send(each)

        @connection.on("error")
        def note(event: ga.RealtimeErrorEvent) -> None:
            seen.append(event.error.event_id)

        @connection.on(COMPLETED)
        def end(event: ga.ConversationItemInputAudioTranscriptionCompletedEvent) -> None:
            seen.append(event.transcript)
            connection.close()

        connection.dispatch_events()
    assert seen == ["early", speech.text(service)]


def test_the_async_client_speaks_and_listens_at_once(options, service: Service):
    speech = Speech(0.5, FIRST, 1.0)

    async def speak(connection: Any) -> None:
        for each in speech.appends():
            await connection.send(each)

    async def converse() -> str:
        async with openai.AsyncOpenAI(**options) as client, client.realtime.connect(**INTENT) as connection:
            speaking = asyncio.create_task(speak(connection))
            async for event in connection:
                if isinstance(event, ga.ConversationItemInputAudioTranscriptionCompletedEvent):
                    await speaking
                    return event.transcript
        raise AssertionError

    assert asyncio.run(converse()) == Speech(FIRST).text(service)


def test_the_loop_over_events_ends_when_the_session_does(tiny, tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_session_s=0.5)
    with (
        serving(settings, lambda _: tiny) as running,
        openai.OpenAI(base_url=f"http://127.0.0.1:{running.port}/v1", api_key="none") as client,
        client.realtime.connect(**INTENT) as connection,
    ):
        assert [type(event) for event in connection] == [ga.SessionCreatedEvent]


def test_beta_events_have_the_classes_of_beta(client: openai.OpenAI):
    with closing(client.beta.realtime.connect(model="whisper-1").enter()) as connection:
        connection.transcription_session.update(session={"input_audio_format": "pcm16"})
        assert connection.recv().type == "session.created"
        updated = connection.recv()
    assert isinstance(updated, beta.TranscriptionSessionUpdatedEvent)
    assert updated.session.input_audio_format == "pcm16"
