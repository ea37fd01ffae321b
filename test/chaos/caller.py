"""Sends calls to the service, each with an id of its own, and records their outcomes.

A call is recorded before it is sent, so that one that never ends is noticed.
"""

import asyncio
import json
from typing import Any

import aiohttp
import client_ws
from attempt import Attempt
from call import Call
from conversation import converse
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

ANSWER_S = 90.0
"""More than the service may take for any call, including the grace period of its stop."""
NO_CODE = "unreadable"


class Caller:
    """Sends calls to the service at `url`."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.attempts: list[Attempt] = []
        self._url = url
        self._http = http

    async def send(self, call: Call, *, burst: bool = False) -> Attempt:
        """Send a call and return its outcome."""
        attempt = Attempt(f"soak-{len(self.attempts) + 1:07d}", call, burst)
        self.attempts.append(attempt)
        try:
            async with asyncio.timeout(ANSWER_S):
                code = await (self._speak(attempt) if call.dialect else self._post(attempt))
        except (client_ws.SessionFailed, WebSocketException, aiohttp.ClientError, OSError) as error:
            code = _why_no_text(error)
        attempt.end(code)
        return attempt

    async def _post(self, attempt: Attempt) -> str:
        upload = attempt.call.upload
        attempt.logged_as, attempt.entrusted_s = attempt.request_id, attempt.sent_s
        headers = {"Content-Type": upload.content_type, "x-request-id": attempt.request_id}
        address = self._url + attempt.call.route
        async with self._http.post(address, data=upload.body, headers=headers) as response:
            body = await response.read()
        if response.status != 200:
            return code_of(response.status, body)
        if response.headers.get("x-request-id") != attempt.request_id:
            return "200 for another request"
        text = _streamed_text(body) if response.content_type == "text/event-stream" else _object(body).get("text")
        if not isinstance(text, str):
            return "200 without text"
        attempt.text = text
        return "200"

    async def _speak(self, attempt: Attempt) -> str:
        attempt.text = await converse(self._url, attempt)
        return "200"


def code_of(status: int, body: bytes) -> str:
    """Return the status and the error code in an answer's body."""
    error = _object(body).get("error")
    return f"{status} {error.get('code')}" if isinstance(error, dict) else f"{status} {NO_CODE}"


def _why_no_text(error: Exception) -> str:
    match error:
        case client_ws.SessionFailed():
            return f"failed {error.code}"
        case InvalidStatus(response=response):
            return code_of(response.status_code, bytes(response.body or b""))
        case ConnectionClosed(rcvd=close) if close is not None:
            return f"closed {close.code}"
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            return "unreachable"
    return "disconnected"


def _streamed_text(body: bytes) -> str | None:
    """Return the text of a stream's last event, None if it is not a `done` event with the text of all deltas."""
    events = [_object(line.removeprefix(b"data: ")) for line in body.splitlines() if line.startswith(b"data: ")]
    if not events or events[-1].get("type") != "transcript.text.done":
        return None
    text = events[-1].get("text")
    deltas = "".join(str(event.get("delta")) for event in events[:-1])
    return text if deltas == text else None


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
