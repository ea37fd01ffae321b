"""The uvicorn server that the application runs on, set up for it."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SLOW_READER_S = 5
"""How long, after the grace period, an answer that is ready may take to be read before its connection is cut."""
MAX_MESSAGE_BYTES = 22 * 1024 * 1024
"""Largest WebSocket message: 15 MiB of audio are 20 MiB of base64, and there is an event around it."""
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 60.0
"""How long a client may take to answer a ping: it may be behind seconds of its own audio on a slow line."""
MOST_UNREAD_BYTES = 4 * 1024 * 1024
"""What may wait for a client to read it. The answers to its pings wait for nothing; all else stops at an event more
than 64 KiB."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with an end for clients that have stopped to read.

    The close is written behind what they have left unread instead of waiting for them, and where they do not answer it
    the connection is cut rather than kept until they have taken everything.
    """

    async def send(self, message: Any) -> None:
        """Send an ASGI message."""
        if message["type"] == "websocket.close":
            self.writable.set()
            self.loop.call_later(self.close_timeout, self.transport.abort)
        await super().send(message)

    def handle_ping(self) -> None:
        """Answer a ping, but not for ever where the answers are not read."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """End the connection of a client that has not answered a ping."""
        super().keepalive_timeout()
        self.loop.call_later(self.close_timeout, self.transport.abort)


def server_config(app: FastAPI, **options: Any) -> uvicorn.Config:
    """Return the configuration for `app`; `options` are uvicorn's own, such as host and port."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # src.api.middleware writes one that knows the request id
        timeout_graceful_shutdown=SLOW_READER_S,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        **options,
    )


class Server(uvicorn.Server):
    """uvicorn's server with an orderly end: on SIGTERM or SIGINT, requests are finished before the port is closed.

    Args:
        config: as of `server_config`.
        drain: finishes what is under way, within its own time limit.
    """

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals as uvicorn does, but do not raise them again at the end: a stop on request exits with 0."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain while the port is still open, so that new requests read 503 and not a closed port."""
        await self._drain()
        await super().shutdown(sockets)
