"""The realtime clients of OpenAI's JavaScript SDK, unchanged, against the service on the bundled checkpoint.

They speak to nothing but TLS, so the service has a certificate made for the test. `scripts/test.sh` installs the SDK.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from js_sdks import run_program, skip_without_sdks
from running_service import Service
from sdk_realtime import (
    BETA,
    CLEAR,
    CLEARED,
    COMMITTED,
    COMPLETED,
    ENCODINGS,
    FIRST,
    GA,
    PCM16,
    SECOND,
    SERVER_VAD,
    STARTED,
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
    texts,
    wait,
)
from tls import serving_tls

from src.settings import Settings

skip_without_sdks()

BETA_BY_MODEL = replace(BETA, created="session.created")
"""Clients that name a model and no intent."""
CLIENTS = {"ga ws": GA, "ga WebSocket": GA, "beta ws": BETA_BY_MODEL, "beta WebSocket": BETA_BY_MODEL}
"""Clients on the package `ws`, and on the WebSocket of browsers, which Node.js has too."""


@dataclass(frozen=True)
class Secure:
    """The service behind TLS, and the file of its certificate authority."""

    port: int
    authority: Path

    def run(self, client: str, model: str, steps: Sequence[Event]) -> Any:
        """Return what the program received in a session."""
        arguments = [f"https://localhost:{self.port}/v1", client, model]
        return run_program("realtime.mjs", *arguments, stdin=steps, env={"NODE_EXTRA_CA_CERTS": str(self.authority)})


@pytest.fixture(scope="module")
def secure(tiny, tmp_path_factory) -> Iterator[Secure]:
    settings = Settings(model_id="tiny", log_dir=tmp_path_factory.mktemp("tls"), max_queue_wait_s=60)
    with serving_tls(settings, tiny) as (running, authority):
        yield Secure(running.port, authority)


@dataclass(frozen=True)
class User:
    """A user of one of the four clients."""

    client: str
    secure: Secure

    @property
    def dialect(self) -> Dialect:
        return CLIENTS[self.client]

    def talk(self, steps: Sequence[Event], model: str = "gpt-4o-transcribe") -> list[Event]:
        """Take the steps on a new connection and return the events received."""
        seen = self.secure.run(self.client, model, steps)
        assert (seen["code"], seen["wasClean"]) == (1000, True)
        assert seen["protocol"] == ("realtime" if self.client.endswith("WebSocket") else "")  # what it offers
        assert seen["errors"] == errors(seen["events"])
        return seen["events"]


@pytest.fixture(params=CLIENTS)
def user(request, secure: Secure) -> User:
    return User(request.param, secure)


def test_a_commit_gets_the_text_that_an_upload_of_the_audio_gets(user: User, service: Service):
    spoken = [Speech(FIRST, encoding=encoding) for encoding in ENCODINGS.values()]
    turns = [[user.dialect.update(each.encoding), *each.appends(), commit()] for each in spoken]
    events = user.talk([*itertools.chain(*turns), wait(COMPLETED, len(spoken))])
    check_session(events, user.dialect, items=len(spoken))
    assert kinds(events)[:3] == [user.dialect.created, user.dialect.updated, COMMITTED]
    assert texts(events) == [each.text(service) for each in spoken]


def test_turns_are_found_and_items_follow_one_another(user: User, service: Service):
    speech = Speech(0.5, FIRST, 1.0, SECOND, 1.0)
    events = user.talk([user.dialect.update(PCM16, SERVER_VAD), *speech.appends(), wait(COMPLETED, 2)])
    check_session(events, user.dialect, items=2)
    check_turns(events, speech, service)
    assert texts(events) == [Speech(FIRST).text(service), Speech(SECOND).text(service)]


def test_errors_and_clears_leave_the_session_as_it_was(user: User, service: Service):
    first, second = Speech(FIRST), Speech(SECOND)
    steps = [
        user.dialect.update(PCM16),
        commit(event_id="mine"),
        append(bytes(4000)),
        commit(event_id="short"),
        *second.appends(),
        CLEAR,
        wait(CLEARED),
        *first.appends(),
        commit(),
        CLEAR,
        wait(CLEARED, 2),
        *second.appends(),
        commit(),
        wait(COMPLETED, 2),
    ]
    events = user.talk(steps)
    check_empty_commit(errors(events), "mine", "short")
    check_session(events, user.dialect, items=2)
    assert texts(events) == [first.text(service), second.text(service)]
    before_items = kinds(events)[: kinds(events).index(COMMITTED)]
    assert before_items == [user.dialect.created, user.dialect.updated, "error", "error", CLEARED]


def test_a_connection_with_a_model_alone_transcribes_turns_at_24_khz(user: User, service: Service):
    speech = Speech(0.5, FIRST, 1.0)
    events = user.talk([*speech.appends(), wait()], model="whisper-1")
    check_session(events, user.dialect, items=1)
    assert kinds(events)[:2] == [user.dialect.created, STARTED]
    check_turns(events, speech, service)


@pytest.mark.parametrize("client", ["ga ws", "ga WebSocket"])
def test_a_model_that_is_not_served_is_rejected(secure: Secure, client):
    seen = secure.run(client, "gpt-9000", [wait("session.created")])
    assert (seen["events"], seen["code"], seen["wasClean"]) == ([], 1006, False)
    assert seen["errors"]
