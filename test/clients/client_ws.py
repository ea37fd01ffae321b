"""The WebSocket of the load clients: one connection for one file, in the simple dialect of `/v1/realtime`.

Audio goes in as `input_audio_buffer.append`, `response.create` asks for the text, `response.completed` brings it; what
happens in between is listened to all the time, as a server closes clients that do not read. Whatever keeps the text
from coming is an exception; `client.py` makes answers of them, as it does with HTTP.
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
"""A piece as microphones and telephones deliver it."""
PIECE_S = 1.0
"""A piece where nobody waits for the next: 43 kB, so that the JSON around it costs nothing."""
CLOSE_S = 1.0
"""How long to wait for the server's half of the close; what it said before has been read by then."""
DELTAS = ("conversation.item.input_audio_transcription.delta", "response.output_text.delta")
CREATE = json.dumps({"type": "response.create"})


class Failed(Exception):
    """The server said that there will be no text, with a code (empty where it named none) and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class StepResult:
    """What a conversation brought.

    `completed_s` is when `response.completed` came (`time.perf_counter`), `final_s` how long after `response.create`
    was sent, `first_delta_s` how long after the first audio was sent the first delta with a text came (None: none did).
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


async def converse(to: str, audio: Sequence[str], headers: Mapping[str, str], *, period_s: float) -> StepResult:
    """Connect to the address `to` with `headers`, send the messages `audio`, ask for the text and return it.

    Message i is sent `i * period_s` seconds after the first, or at once where that has passed (a period of 0: always).

    Raises:
        Failed: the server reported an error, or said what cannot be understood.
        websockets.exceptions.InvalidStatus: it refused the upgrade.
        websockets.exceptions.WebSocketException: it closed the connection, or spoke no WebSocket.
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
    """An open connection, and when what was sent and came first (`time.perf_counter`)."""

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
            pass  # listening says why, after what the server said before

    async def listen(self) -> StepResult:
        """Read until the text has come."""
        while True:
            event = _understand(await self._socket.recv())
            kind = event.get("type")
            if kind in DELTAS and event.get("delta") and self._first_delta_s is None:
                self._first_delta_s = time.perf_counter()
            elif kind == "error":
                raise _failure(event)
            elif kind == "response.done":
                _expect_success(event)
            elif kind == "response.completed":
                return self._heard(event)

    def _heard(self, event: dict[str, Any]) -> StepResult:
        completed_s = time.perf_counter()
        response = event.get("response")
        text = response.get("output_text") if isinstance(response, dict) else None
        if not isinstance(text, str):
            raise Failed("without text", f"response.completed without output_text: {_beginning(event)}")
        if self._created_s is None:
            raise Failed("too early", "response.completed came before response.create was sent")
        first_delta_s = None if self._first_delta_s is None else self._first_delta_s - self._first_sent_s
        return StepResult(text, completed_s, first_delta_s, completed_s - self._created_s)


def _schedule(started_s: float, period_s: float) -> Iterator[float]:
    """Yield when each message is due: multiples of the period, so that no lateness adds up."""
    number = 0
    while True:
        yield started_s + number * period_s
        number += 1


def _understand(frame: str | bytes) -> dict[str, Any]:
    try:
        event = json.loads(frame)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise Failed("without sense", f"a message that is no JSON object: {_beginning(frame)}")
    return event


def _expect_success(event: dict[str, Any]) -> None:
    """Raise `Failed` where a `response.done` tells of anything but a completed response."""
    response = event.get("response")
    if not isinstance(response, dict) or response.get("status") != "completed":
        details = response.get("status_details") if isinstance(response, dict) else None
        raise _failure(details if isinstance(details, dict) else event)


def _failure(holder: dict[str, Any]) -> Failed:
    """Return the failure that the `error` of an event or of a response's details describes."""
    error = holder.get("error")
    if not isinstance(error, dict):
        return Failed("", _beginning(holder))
    return Failed(str(error.get("code") or ""), str(error.get("message") or _beginning(error)))


def _beginning(said: object) -> str:
    return str(said)[:200]
