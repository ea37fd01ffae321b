"""The targets of the fuzzers, with the properties that must hold for any input."""

import json
from typing import Any

import httpx
import numpy as np
from answers import ROUTE, problem_with
from chatter import Conversation, Message
from forms import Multipart
from session_harness import SessionHarness
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from src.audio.decode import decode
from src.errors import InvalidRequest

ANSWERED = 0
DOCUMENTED_ENDS = {1001, 1009, 1013}
"""Close codes in the README's table, without that for a server error."""
PROBE = json.dumps({"type": "no.such.event", "event_id": "probe"})
MAX_EVENTS = 2_000
PATIENCE_S = 30.0


def decode_anything(data: bytes) -> None:
    """Decode bytes: the result is finite samples, or an error of the sender's."""
    try:
        samples = decode(data, max_seconds=60)
    except InvalidRequest:
        return
    assert len(samples)
    assert np.isfinite(samples).all()


def post_anything(http: httpx.Client, form: Multipart) -> httpx.Response:
    """Send a form and check the answer against what a client may expect."""
    answer = http.post(ROUTE, content=form.body, headers=[(b"content-type", form.content_type)])
    fault = problem_with(answer)
    assert fault is None, fault
    return answer


def hold_conversation(conversation: Conversation) -> None:
    """Send all messages to a session with a fake model: nothing is raised, and every answer has a documented form."""
    harness = SessionHarness(
        beta=conversation.beta,
        transcription=conversation.transcription,
        partials=conversation.partials,
        final_from_stream=conversation.final_from_stream,
        rate=conversation.rate,
        max_audio_s=3.0,
        strict=True,
    )
    for number, message in enumerate(conversation.messages):
        harness.send(message)
        if number % 3 == 2:
            harness.run_all()
    harness.run_all()
    assert harness.session.idle


def talk(url: str, messages: list[Message]) -> None:
    """Send all messages over one WebSocket: the session answers to the end, or closes with a documented code."""
    end = _end_of(url, messages)
    assert end == ANSWERED or end in DOCUMENTED_ENDS, f"closed with {end}"


def _end_of(url: str, messages: list[Message]) -> int | None:
    """Return 0 if the last message was answered, else the close code of the connection, None if it was cut."""
    try:
        with connect(url, open_timeout=PATIENCE_S, max_size=None) as socket:
            for message in [*messages, PROBE]:
                socket.send(message)
            for _ in range(MAX_EVENTS):
                if _is_answer(json.loads(socket.recv(timeout=PATIENCE_S))):
                    return ANSWERED
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    raise TimeoutError("no answer to the last message")


def _is_answer(event: dict[str, Any]) -> bool:
    return event["type"] == "error" and bool(event["error"]["event_id"] == "probe")
