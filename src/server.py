"""The uvicorn server that the application runs on, set up for it, and for clients that do not mean well."""

import asyncio
import json
import logging
import os
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from socket import socket
from types import FrameType
from typing import Any

import httptools
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from src.errors import error_body

log = logging.getLogger(__name__)

HEAD_S = 10.0
"""How long a client may take from its connection, or from a request's first byte, to the end of the request's head."""
MAX_HEAD_BYTES = 32 * 1024
"""Largest request line and headers; one read of the socket may go beyond."""
LINGER_S = 5.0
"""How long the rest of a body may take that nobody wants: a client that still sends it would not see a closed
connection's answer, but one that never ends must not keep it."""
UNREAD_S = 60.0
"""How long a client may take none of an answer that waits for it."""
MOST_PIPELINED = 16
"""Requests that may wait on one connection for the answers to those before; uvicorn itself would take any number."""
MOST_CONNECTIONS = 4096
MOST_DESCRIPTORS = 1 << 16

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


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with an end for clients that do not get on.

    Args:
        options: uvicorn's own.
        head_s: as `HEAD_S`.
        most: connections beyond which those are closed that have waited longest without a request.
    """

    def __init__(self, *options: Any, head_s: float, most: int, **named: Any) -> None:
        super().__init__(*options, **named)
        self._head_s = head_s
        self._most = most
        self._in_head = True
        self._head_bytes = 0
        self._overdue: asyncio.TimerHandle | None = None  # ends the head, or the body that nobody wants
        self._unread: asyncio.TimerHandle | None = None
        self.waiting_since = self.loop.time()

    @property
    def waits(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn declares it so
        """Take a new connection."""
        super().connection_made(transport)
        self._expect(self._head_s, self._refuse_slow_head)
        if len(self.connections) > self._most:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._expect_nothing()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too large.")
        elif self._in_head and self._overdue is None:
            self._expect(self._head_s, self._refuse_slow_head)

    def on_headers_complete(self) -> None:
        """Note the end of a request's head, and begin to serve it."""
        self._in_head = False
        self._head_bytes = 0
        self._expect_nothing()
        super().on_headers_complete()
        if len(self.pipeline) > MOST_PIPELINED:
            raise httptools.HttpParserError("too many requests at a time")  # stops the parser, and closes

    def on_message_complete(self) -> None:
        """Note the end of a request; what comes now is the head of the next."""
        self._in_head = True
        self._expect_nothing()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; from now on it is not this object's."""
        super().handle_websocket_upgrade()
        self._in_head = False
        self._expect_nothing()

    def on_response_complete(self) -> None:
        """Wait for the next request, but not for long for the rest of one that is answered."""
        self.waiting_since = self.loop.time()
        answered = self.cycle
        super().on_response_complete()
        if answered is self.cycle and answered.more_body and not self.transport.is_closing():
            self._expect(LINGER_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as it is written to."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        if self._unread:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", msg)

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._expect_nothing()
        self._overdue = self.loop.call_later(seconds, otherwise)

    def _expect_nothing(self) -> None:
        if self._overdue:
            self._overdue.cancel()
            self._overdue = None

    def _refuse_slow_head(self) -> None:
        if not self.waits:  # the answer to the request before comes first
            self._expect(self._head_s, self._refuse_slow_head)
        elif self._head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request took too long to come.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer in place of the application, and close."""
        if self.transport.is_closing():
            return
        if self.waits:
            body = json.dumps(error_body(message, type="invalid_request_error", code=code)).encode()
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
        self.transport.close()

    def _make_room(self) -> None:
        """Close connections that wait, those that have done so longest, until there is room for some new ones again."""
        living = [each for each in self.connections if not each.transport.is_closing()]
        waiting = [each for each in living if isinstance(each, HttpProtocol) and each.waits]
        waiting.sort(key=lambda each: each.waiting_since)
        too_many = len(living) - self._most
        for each in waiting[: too_many + self._most // 10 if too_many > 0 else 0]:
            each.transport.abort()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with an end for clients that have stopped to read, and one piece of memory for a message in fragments.

    The close is written behind what they have left unread instead of waiting for them, and where they do not answer it
    the connection is cut rather than kept until they have taken everything.
    """

    async def send(self, message: Any) -> None:
        """Send an ASGI message."""
        if message["type"] == "websocket.close":
            self.writable.set()
            self.loop.call_later(self.close_timeout, self.transport.abort)
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal; without this, uvicorn takes it for an error and logs it

    def handle_cont(self, event: Any) -> None:
        """Take a fragment. As one more object each, millions of a byte or none would take far more than they hold."""
        frames: list[Any] = self.frames
        if not isinstance(frames[0], bytearray):
            frames[0] = bytearray(frames[0])
        frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, but not for ever where the answers are not read."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """End the connection of a client that has not answered a ping."""
        super().keepalive_timeout()
        self.loop.call_later(self.close_timeout, self.transport.abort)


def server_config(
    app: FastAPI, *, head_s: float = HEAD_S, most_connections: int = MOST_CONNECTIONS, **options: Any
) -> uvicorn.Config:
    """Return the configuration for `app`; `options` are uvicorn's own, such as host and port."""
    make_protocol = partial(HttpProtocol, head_s=head_s, most=min(most_connections, _room()))
    return uvicorn.Config(
        app,
        http=make_protocol,  # type: ignore[arg-type] # declared as a class, and only ever called
        log_config=None,
        access_log=False,  # src.api.middleware writes one that knows the request id
        timeout_graceful_shutdown=SLOW_READER_S,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        **options,
    )


def raise_descriptor_limit() -> None:
    """Let this process open as many files and connections as the system allows, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _room() -> int:
    """Return how many connections there is room for: half of what may be open, as a request needs more than its own."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft // 2


class Server(uvicorn.Server):
    """uvicorn's server with an orderly end: on SIGTERM or SIGINT, requests are finished before the port is closed.

    A second signal ends the process at once.

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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._captured_signals:
            log.warning("Told to stop again; the process ends at once.")
            logging.shutdown()
            os._exit(128 + sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain while the port is still open, so that new requests read 503 and not a closed port."""
        await self._drain()
        await super().shutdown(sockets)
