"""One realtime session of the soak test: it sends a clip as fast as possible and returns the text."""

import asyncio
import json
import time
from typing import Any

import client_ws
from attempt import Attempt
from call import Dialect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


async def converse(url: str, attempt: Attempt) -> str:
    """Run the session of `attempt` with the service at `url`, record its course, and return the text.

    Raises:
        client_ws.SessionFailed: the service reported an error.
        websockets.exceptions.WebSocketException: it rejected the upgrade, or closed the connection.
        OSError: it cannot be reached.
    """
    dialect = attempt.call.dialect
    assert dialect
    options: dict[str, Any] = {"compression": None, "proxy": None, "max_size": None, "open_timeout": None}
    address = "ws" + url.removeprefix("http") + dialect.route
    async with connect(address, close_timeout=client_ws.CLOSE_S, **options) as socket:
        sending = asyncio.create_task(_speak(socket, dialect, attempt))
        try:
            return await _listen(socket, dialect, attempt)
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def _speak(socket: ClientConnection, dialect: Dialect, attempt: Attempt) -> None:
    try:
        for message in (*dialect.opening, *attempt.call.upload.frames, dialect.asking):
            await socket.send(message)
        attempt.entrusted_s = time.monotonic()
    except ConnectionClosed:
        pass  # listening says why, after what the service said before


async def _listen(socket: ClientConnection, dialect: Dialect, attempt: Attempt) -> str:
    while True:
        event: dict[str, Any] = json.loads(await socket.recv())
        kind = event["type"]
        if kind == "input_audio_buffer.committed":
            attempt.logged_as = event["item_id"]
        elif kind == "error" or kind.endswith(".failed"):
            raise client_ws.SessionFailed(event["error"]["code"] or "", event["error"]["message"])
        elif kind == dialect.last_event:
            return str(event["transcript"] if "transcript" in event else event["response"]["output_text"])
