"""The WebSocket of the load clients: one connection for one file, in the simple dialect of `/v1/realtime`.

The client sends audio as `input_audio_buffer.append`, asks for the text with `response.create` and gets it with
`response.completed`. It reads all the time, because a server closes clients that do not. Any failure to get the text is
an exception, which `client.py` turns into an answer, as for HTTP.
"""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from src.audio.samples import SAMPLE_RATE

ROUTE = f"/v1/realtime?sample_rate={SAMPLE_RATE}"
REALTIME_PIECE_S = 0.1
"""Audio of one message in real time, as microphones and telephones deliver it."""
PIECE_S = 1.0
"""Audio of one message sent without pauses: 43 kB, next to which the JSON around it costs nothing."""
CLOSE_S = 1.0
"""How long to wait for the server's half of the close; everything before it has been read by then."""
DELTAS = ("conversation.item.input_audio_transcription.delta", "response.output_text.delta")
CREATE = json.dumps({"type": "response.create"})


class SessionFailed(Exception):
    """The server reported an error in place of the text: its code (empty if it gave none) and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ConversationResult:
    """The result of a conversation.

    `completed_s` is the time of `response.completed` (`time.perf_counter`), `final_s` the time from `response.create`
    to it, and `first_delta_s` the time from the first audio to the first delta with text (None: no delta).
    """

    text: str
    completed_s: float
    first_delta_s: float | None
    final_s: float


def address(url: str) -> str:
    """Return the WebSocket's address on the server at `url` (`http://` or `https://`)."""
    return "ws" + url.removeprefix("http") + ROUTE


def frames(pcm16: bytes, piece_s: float) -> tuple[str, ...]:
    """Return the messages that send 16 kHz mono PCM16 in pieces of `piece_s` seconds; the last may be shorter."""
    piece_bytes = round(piece_s * SAMPLE_RATE) * 2
    return tuple(_append(pcm16[start : start + piece_bytes]) for start in range(0, len(pcm16), piece_bytes))


def _append(pcm16: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm16).decode("ascii")})


async def converse(to: str, audio: Sequence[str], headers: Mapping[str, str], *, period_s: float) -> ConversationResult:
    """Connect to the address `to` with `headers`, send the messages `audio`, ask for the text and return it.

    Message i is sent `i * period_s` seconds after the first, or at once if that time has passed.

    Raises:
        SessionFailed: the server reported an error, or sent an invalid message.
        websockets.exceptions.InvalidStatus: the server rejected the upgrade.
        websockets.exceptions.WebSocketException: it closed the connection, or does not speak WebSocket.
        OSError: it cannot be reached.
    """
    async with connect(
        to,
        additional_headers=headers,
        compression=None,
        proxy=None,
        max_size=None,
        open_timeout=None,
        close_timeout=CLOSE_S,
    ) as it:
        conversation = _Conversation(it)
        sending = asyncio.create_task(conversation.send(audio, period_s))
        try:
            return await conversation.listen()
        finally:
            sending.cancel()
            await asyncio.wait([sending])


class _Conversation:
    """An open connection, with the times of its first messages (`time.perf_counter`)."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._first_sent_s = 0.0
        self._first_delta_s: float | None = None
        self._created_s: float | None = None

    async def send(self, audio: Sequence[str], period_s: float) -> None:
        """Send `audio` on its schedule, then ask for the text."""
        self._first_sent_s = time.perf_counter()
        try:
            for due_s, message in zip(_schedule(self._first_sent_s, period_s), audio, strict=False):
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                await self._socket.send(message)
            self._created_s = time.perf_counter()
            await self._socket.send(CREATE)
        except ConnectionClosed:
            pass  # `listen` raises the reason, after it has read what the server sent before

    async def listen(self) -> ConversationResult:
        """Read events until the text, and return the result."""
        while True:
            event = _parse(await self._socket.recv())
            kind = event.get("type")
            if kind in DELTAS and event.get("delta") and self._first_delta_s is None:
                self._first_delta_s = time.perf_counter()
            elif kind == "error":
                raise _failure(event)
            elif kind == "response.done":
                _expect_success(event)
            elif kind == "response.completed":
                return self._result(event)

    def _result(self, event: dict[str, Any]) -> ConversationResult:
        completed_s = time.perf_counter()
        response = event.get("response")
        text = response.get("output_text") if isinstance(response, dict) else None
        if not isinstance(text, str):
            raise SessionFailed("without text", f"response.completed without output_text: {_excerpt(event)}")
        if self._created_s is None:
            raise SessionFailed("too early", "response.completed came before response.create was sent")
        first_delta_s = None if self._first_delta_s is None else self._first_delta_s - self._first_sent_s
        return ConversationResult(text, completed_s, first_delta_s, completed_s - self._created_s)


def _schedule(started_s: float, period_s: float) -> Iterator[float]:
    """Yield when each message is due: multiples of the period, so that delays do not add up."""
    number = 0
    while True:
        yield started_s + number * period_s
        number += 1


def _parse(frame: str | bytes) -> dict[str, Any]:
    try:
        event = json.loads(frame)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise SessionFailed("without sense", f"a message that is no JSON object: {_excerpt(frame)}")
    return event


def _expect_success(event: dict[str, Any]) -> None:
    """Raise `SessionFailed` if a `response.done` is not about a completed response."""
    response = event.get("response")
    if not isinstance(response, dict) or response.get("status") != "completed":
        details = response.get("status_details") if isinstance(response, dict) else None
        raise _failure(details if isinstance(details, dict) else event)


def _failure(holder: dict[str, Any]) -> SessionFailed:
    """Return the failure for the `error` of an event or of a response's details."""
    error = holder.get("error")
    if not isinstance(error, dict):
        return SessionFailed("", _excerpt(holder))
    return SessionFailed(str(error.get("code") or ""), str(error.get("message") or _excerpt(error)))


def _excerpt(value: object) -> str:
    return str(value)[:200]
