"""A client of `/v1/realtime` that sends the protocol's JSON itself."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from media import CLIPS, pcm16
from running_service import Service
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from src.audio.decode import decode

DELTA = "conversation.item.input_audio_transcription.delta"
HYPOTHESIS = "conversation.item.input_audio_transcription.hypothesis"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


def speech(name: str) -> bytes:
    return pcm16(decode((CLIPS / name).read_bytes()))


class Client:
    """A client on one connection."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws

    def send(self, kind: str, **fields: Any) -> None:
        self.ws.send(json.dumps({"type": kind, **fields}))

    def append(self, audio: bytes, size: int | None = None) -> None:
        """Send audio, `size` bytes in each event."""
        size = size or max(1, len(audio))
        for start in range(0, len(audio), size):
            self.send("input_audio_buffer.append", audio=base64.b64encode(audio[start : start + size]).decode())

    def commit(self) -> None:
        self.send("input_audio_buffer.commit")

    def next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.ws.recv())
        return event

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events up to the first of one of these kinds."""
        events = [self.next()]
        while events[-1]["type"] not in kinds:
            events.append(self.next())
        return events

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closed, although there may be events to read."""
        return self.ws.close_code is not None

    def close_code(self) -> int:
        """Read on to the end of the connection."""
        return self.end()[1].code

    def end(self) -> tuple[list[dict[str, Any]], Close]:
        """Return the events to the end of the connection, and how that was closed."""
        events: list[dict[str, Any]] = []
        try:
            while True:
                events.append(self.next())
        except ConnectionClosed as closed:
            return events, closed.rcvd or Close(1006, "")


@contextmanager
def session(service: Service, query: str = "", **options: Any) -> Iterator[Client]:
    with session_at(service.port, query, **options) as client:
        yield client


@contextmanager
def session_at(port: int, query: str = "", **options: Any) -> Iterator[Client]:
    """Open a session at a port of this machine."""
    with connect(f"ws://127.0.0.1:{port}/v1/realtime{query}", **options) as ws:
        client = Client(ws)
        assert client.next()["type"] == "session.created"
        yield client
