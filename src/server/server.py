"""The uvicorn server of the application: its limits and its orderly end."""

import logging
import os
import resource
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from src.memory.budget import Budget
from src.server.http_errors import OnRefused
from src.server.http_protocol import HttpProtocol
from src.server.websocket_protocol import WebSocketProtocol

log = logging.getLogger(__name__)

HEAD_S = 10.0
"""Time limit for a request's head, from the first byte of the request or from the connection."""
MAX_CONNECTIONS = 4096
"""Connections beyond which some that wait for their client are closed."""
MAX_DESCRIPTORS = 1 << 16
"""Open files and connections that the process asks the system for."""

SLOW_READER_S = 5
"""Time in which a client must read a finished response after the grace period; then its connection is cut."""
MAX_MESSAGE_BYTES = 22 * 1024 * 1024
"""Largest WebSocket message: 15 MiB of audio are 20 MiB of base64, with an event around it."""
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 60.0
"""Time in which a client must answer a ping. On a slow line, the answer comes after seconds of the client's audio."""


def server_config(
    app: ASGIApp,
    message_memory: Budget,
    *,
    head_s: float = HEAD_S,
    max_connections: int = MAX_CONNECTIONS,
    on_refused: OnRefused = lambda *_: None,
    **options: Any,
) -> uvicorn.Config:
    """Return the configuration of the server for `app`.

    Args:
        app: the application.
        message_memory: budget for WebSocket messages that are incomplete or wait for the application.
        head_s: time limit for a request's head, in seconds.
        max_connections: connections beyond which some that wait for their client are closed.
        on_refused: called for each request that the server answers in place of the application.
        options: uvicorn's own, such as host and port.
    """
    max_connections = min(max_connections, _connections_by_descriptors())
    new_http = partial(HttpProtocol, head_s=head_s, max_connections=max_connections, on_refused=on_refused)
    new_websocket = partial(WebSocketProtocol, head_s=head_s, memory=message_memory, on_refused=on_refused)
    return uvicorn.Config(
        app,
        http=new_http,  # type: ignore[arg-type] # declared as a class, but only ever called
        log_config=None,
        access_log=False,  # src.api.middleware writes one, with request ids
        timeout_graceful_shutdown=SLOW_READER_S,
        ws=new_websocket,  # type: ignore[arg-type] # the same
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a frame of 20 kB could be a message of 22 MiB
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        **options,
    )


def raise_descriptor_limit() -> None:
    """Let this process open as many files and connections as the system allows, up to `MAX_DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _connections_by_descriptors() -> int:
    """Return how many connections the descriptor limit allows: half of it, as a request needs more than its own."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft // 2


class Server(uvicorn.Server):
    """uvicorn's server with an orderly end: on SIGTERM, SIGINT or SIGHUP it finishes requests, then closes the port.

    A second SIGTERM or SIGINT ends the process at once. SIGHUP does not count as one of the two: a terminal that closes
    sends several to all processes, and those that get one tell others to end with SIGTERM. Under `nohup`, SIGHUP is
    ignored.

    Args:
        config: as `server_config` returns it.
        drain: finishes the requests in progress within its own time limit.
    """

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals as uvicorn does, but do not raise them again at the end: a stop on request exits with 0."""
        with super().capture_signals(), self._hangups_captured():
            try:
                yield
            finally:
                self._captured_signals.clear()

    @contextmanager
    def _hangups_captured(self) -> Iterator[None]:
        """Handle SIGHUP as well, which would end the process without a drain, unless it is ignored."""
        before = signal.getsignal(signal.SIGHUP)
        if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGHUP, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if sig != signal.SIGHUP and any(each != signal.SIGHUP for each in self._captured_signals):
            log.warning("A second signal: the process ends at once.")
            logging.shutdown()
            os._exit(128 + sig)
        if self._captured_signals:
            self._captured_signals.append(sig)  # uvicorn would take SIGINT for the wish to cut requests off
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain while the port is still open, so that new requests get 503 and not a closed port."""
        await self._drain()
        await super().shutdown(sockets)
