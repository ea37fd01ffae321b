"""The messages that voice frameworks send to `/v1/realtime`, and what they need to receive.

As sent by livekit-plugins-openai 1.8.9, pipecat-ai 1.14.0, openai-agents 0.24.0 and the AI SDK 7 (@ai-sdk/openai
4.0.118). To each of them an `error` is the end of its session. Each gets only types of events that it handles, or that
OpenAI sends to every client and it passes over.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from running_service import Service, serving
from sdk_realtime import (
    CLEAR,
    CLEARED,
    COMMITTED,
    COMPLETED,
    DELTA,
    FAILED,
    FIRST,
    GA,
    PCM16,
    PCM16_AT_16_KHZ,
    SECOND,
    STARTED,
    STOPPED,
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
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from src.settings import Settings

BEARER = {"Authorization": "Bearer k"}


PASSED_OVER = frozenset(
    {
        "session.created",
        "session.updated",
        COMMITTED,
        CLEARED,
        "conversation.item.added",
        "conversation.item.done",
    }
)
"""What OpenAI sends in every transcription session. A framework that does nothing with these passes over them."""
LIVEKIT = frozenset({STARTED, STOPPED, DELTA, COMPLETED, "error"})
"""The types that LiveKit's `stt.py` handles."""
PIPECAT = frozenset({STARTED, STOPPED, DELTA, COMPLETED, FAILED, "error"})
"""The types that Pipecat's `services/openai/stt.py` handles, beside some that it passes over elsewhere."""
AGENTS = frozenset({STARTED, STOPPED, DELTA, COMPLETED, FAILED, "error"})
"""The types that openai-agents' `openai_stt.py` handles, or knows from OpenAI's turn detection and models."""
AI_SDK = frozenset({DELTA, COMPLETED, FAILED, "error"})
"""The types that the AI SDK's streaming transcription handles."""


@dataclass(frozen=True)
class Framework:
    """How a framework connects, and the types of events that it handles."""

    handled: frozenset[str]
    query: str = "intent=transcription"
    headers: dict[str, str] = field(default_factory=lambda: dict(BEARER))
    user_agent: str | None = "Python/3.11 websockets/17.4"
    subprotocols: tuple[str, ...] = ()

    def talk(self, service: Service, steps: Sequence[Event]) -> list[Event]:
        """Take the steps on a new connection and return the events received."""
        events: list[Event] = []
        with connect(
            f"ws://127.0.0.1:{service.port}/v1/realtime?{self.query}",
            additional_headers=self.headers,
            user_agent_header=self.user_agent,
            subprotocols=[Subprotocol(name) for name in self.subprotocols] or None,
        ) as connection:
            for step in steps:
                if "wait" not in step:
                    connection.send(json.dumps(step))
                    continue
                while len(of_kind(events, step["wait"])) < step["times"]:
                    events.append(json.loads(connection.recv()))
            assert connection.subprotocol == (self.subprotocols[0] if self.subprotocols else None)
        assert {event["type"] for event in events} <= self.handled | PASSED_OVER
        return events


def update(**settings: Any) -> Event:
    """Return the event that configures a session, its type first, as Pipecat, openai-agents and the AI SDK send it."""
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": settings}}}


# LiveKit configures the session at once, with `type` behind it, and sends 50 ms at a time.

LIVEKIT_PIECE_S = 0.05


def livekit(model: str) -> Framework:
    return Framework(LIVEKIT, query=f"intent=transcription&model={model}", user_agent="LiveKit Agents")


def livekit_update(**settings: Any) -> Event:
    settings = {"format": {"rate": 24000, "type": "audio/pcm"}, **settings}
    return {"session": {"type": "transcription", "audio": {"input": settings}}, "type": "session.update"}


@pytest.mark.parametrize(
    "transcription",
    [
        {"language": "en", "model": "gpt-4o-mini-transcribe"},
        {"keywords": [], "languages": ["en"], "model": "gpt-transcribe"},
    ],
)
def test_livekit_reads_turns(service: Service, transcription):
    detection = {"type": "server_vad", "prefix_padding_ms": 600, "silence_duration_ms": 350, "threshold": 0.5}
    speech = Speech(0.3, FIRST, 1.0, SECOND, 1.0)
    configure = livekit_update(transcription=transcription, turn_detection=detection)
    steps = [configure, *speech.appends(LIVEKIT_PIECE_S), wait(COMPLETED, 2)]
    events = livekit(transcription["model"]).talk(service, steps)
    check_session(events, GA, items=2)
    check_turns(events, speech, service)
    assert errors(events) == []
    assert all(event["usage"].get("input_tokens", 0) == 0 for event in of_kind(events, COMPLETED))


@pytest.mark.parametrize("model", ["gpt-realtime-whisper", "gpt-live-transcribe"])
def test_livekit_finds_the_turns_itself_where_the_model_does_not(service: Service, model):
    first, second = Speech(0.3, FIRST, 0.5), Speech(SECOND, 0.5)
    configure = livekit_update(transcription={"language": "en", "model": model})
    turns = [each for speech in (first, second) for each in [*speech.appends(LIVEKIT_PIECE_S), commit()]]
    events = livekit(model).talk(service, [configure, *turns, *Speech(0.5).appends(), wait(COMPLETED, 2)])
    check_session(events, GA, items=2)
    assert not {STARTED, STOPPED, "error"} & set(kinds(events))
    assert texts(events) == [first.text(service), second.text(service)]


def test_livekit_gets_the_final_of_an_open_turn_at_the_sessions_limit(tiny, tmp_path):
    """It reads on to the end, connects again and goes on; what it has shown of the turn must have a final."""
    detection = {"type": "server_vad", "prefix_padding_ms": 600, "silence_duration_ms": 350, "threshold": 0.5}
    speech = Speech(0.3, FIRST)
    configure = livekit_update(
        transcription={"language": "en", "model": "gpt-4o-mini-transcribe"}, turn_detection=detection
    )
    steps = [configure, *speech.appends(LIVEKIT_PIECE_S), wait(COMPLETED)]
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_session_s=2)
    with serving(settings, lambda _: tiny) as service:
        events = livekit("gpt-4o-mini-transcribe").talk(service, steps)
        check_session(events, GA, items=1)
        check_turns(events, speech, service)
    assert errors(events) == []


# Pipecat configures the session after `session.created`, and sends audio from the beginning.


def test_pipecat_sends_audio_before_it_names_its_format(service: Service):
    early, rest = Speech(FIRST, encoding=PCM16), Speech(0.3, encoding=PCM16)
    configure = update(
        format={"type": "audio/pcm", "rate": 24000},
        transcription={"model": "gpt-realtime-whisper", "language": "en"},
        turn_detection=None,
    )
    steps = [
        *early.appends(0.02)[:30],
        wait("session.created"),
        configure,
        *early.appends(0.02)[30:],
        *rest.appends(0.02),
        commit(),
        wait(),
    ]
    events = Framework(PIPECAT).talk(service, steps)
    check_session(events, GA, items=1)
    assert kinds(events)[:3] == ["session.created", "session.updated", COMMITTED]
    assert texts(events) == [Speech(FIRST, 0.3).text(service)]


def test_a_late_format_holds_for_the_audio_that_came_before_it(service: Service):
    speech = Speech(FIRST, encoding=PCM16_AT_16_KHZ)
    configure = update(format=speech.encoding.ga, turn_detection=None)
    early = [*speech.appends()[:5], configure, *speech.appends()[5:]]
    events = Framework(PIPECAT).talk(service, [*early, commit(), wait()])
    assert texts(events) == [speech.text(service)] == [Speech(FIRST).text(service)]


def test_pipecat_leaves_the_turn_detection_to_the_server(service: Service):
    speech = Speech(0.3, FIRST, 1.0)
    configure = update(
        format={"type": "audio/pcm", "rate": 24000},
        transcription={"model": "gpt-transcribe", "language": "en", "prompt": "bicycle"},
        noise_reduction={"type": "near_field"},
    )
    events = Framework(PIPECAT).talk(service, [wait("session.created"), configure, *speech.appends(0.02), wait()])
    check_session(events, GA, items=1)
    check_turns(events, speech, service)
    assert of_kind(events, "session.updated")[0]["session"]["audio"]["input"]["noise_reduction"] == {
        "type": "near_field"
    }


# openai-agents waits for `session.updated` and ends with a commit and a clear. It is done once it has received
# `input_audio_buffer.cleared` and the text of every committed item.

AGENTS_UPDATE = update(
    format={"type": "audio/pcm", "rate": 24000},
    transcription={"model": "gpt-4o-transcribe"},
    turn_detection={"type": "semantic_vad"},
)
AGENTS_BEGIN = [wait("session.created"), AGENTS_UPDATE, wait("session.updated")]
AGENTS_END = [commit(event_id="f00d"), CLEAR, wait(CLEARED)]


def test_openai_agents_commits_the_rest_and_clears(service: Service):
    speech = Speech(FIRST)
    events = Framework(AGENTS).talk(service, [*AGENTS_BEGIN, *speech.appends(), *AGENTS_END, wait()])
    check_session(events, GA, items=1)
    assert errors(events) == []
    assert texts(events) == [speech.text(service)]


def test_openai_agents_gets_each_sentence_as_a_turn_of_its_own(service: Service):
    """Its default, `semantic_vad`, ends a turn after a sentence, and not only after 4 s of silence."""
    first, second, both = Speech(0.3, FIRST, 3.0), Speech(SECOND, 3.0), Speech(0.3, FIRST, 3.0, SECOND, 3.0)
    steps = [*AGENTS_BEGIN, *first.appends(), wait(STOPPED, 1), *second.appends(), wait(STOPPED, 2), wait(COMPLETED, 2)]
    events = Framework(AGENTS).talk(service, [*steps, *AGENTS_END])
    check_session(events, GA, items=2)
    check_turns(events, both, service)
    first_end, second_start = of_kind(events, STOPPED)[0]["audio_end_ms"], of_kind(events, STARTED)[1]["audio_start_ms"]
    assert second_start - first_end > 1500


def test_openai_agents_gets_an_error_for_a_last_commit_that_comes_late(service: Service):
    speech = Speech(FIRST, 6.0)  # semantic_vad waits for 4 s
    events = Framework(AGENTS).talk(service, [*AGENTS_BEGIN, *speech.appends(), *AGENTS_END, wait()])
    check_session(events, GA, items=1)
    check_turns(events, speech, service)
    check_empty_commit(errors(events), "f00d")


def test_openai_agents_may_have_nothing_to_say(service: Service):
    events = Framework(AGENTS).talk(service, [*AGENTS_BEGIN, *AGENTS_END])
    check_empty_commit(errors(events), "f00d")
    assert kinds(events) == ["session.created", "session.updated", "error", CLEARED]


# The AI SDK shows its key among the subprotocols, sends all audio at once as its user cut it, and takes the first text
# for the whole.


@pytest.mark.parametrize("encoding", [PCM16, PCM16_AT_16_KHZ], ids=["24 kHz", "16 kHz"])
def test_the_ai_sdk_streams_odd_pieces_at_the_rate_of_its_user(service: Service, encoding):
    speech = Speech(FIRST, encoding=encoding)
    data = speech.data
    configure = update(
        format=encoding.ga,
        transcription={"model": "gpt-live-transcribe", "language": "en", "delay": "low"},
        turn_detection=None,
    )
    pieces = [append(data[start : start + 3201]) for start in range(0, len(data), 3201)]
    sdk = Framework(AI_SDK, headers={}, user_agent=None, subprotocols=("realtime", "openai-insecure-api-key.k"))
    events = sdk.talk(service, [configure, *pieces, commit(), wait()])
    check_session(events, GA, items=1)
    assert errors(events) == []
    assert texts(events) == [speech.text(service)]
