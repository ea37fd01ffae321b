"""What a replica does that Ray lets drain: it asks its realtime sessions to end, before Ray closes their connections.

Ray tells the application nothing. But it answers 503 DRAINING for the replica's own address, by which HAProxy learns of
it, and keeps the server open for a while (`RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

PERIOD_S = 1.0
ANSWER_S = 5.0
"""How long the server may take to answer. A server that is busy does not drain."""
FAREWELL_S = 2.0
"""How long sessions go on: until HAProxy sends no new ones, nor those that come back."""
QUESTION = b"GET /-/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class SessionsEnd:
    """ASGI middleware: from the first connection on, watches whether this replica drains, and then ends its sessions.

    Args:
        app: the application behind it.
        drain_sessions: asks all sessions to end, and waits for that at most so many seconds.
        listens: returns whether this process itself listens on a port. While a replica starts, connections come through
            Ray's own proxy, too, and have its port.
        farewell_s: seconds between the news and that.
        period_s: seconds between two questions.
    """

    def __init__(
        self,
        app: ASGIApp,
        drain_sessions: Callable[[float], Awaitable[None]],
        listens: Callable[[int], bool],
        farewell_s: float = FAREWELL_S,
        period_s: float = PERIOD_S,
    ) -> None:
        self._app = app
        self._drain_sessions = drain_sessions
        self._listens = listens
        self._farewell_s = farewell_s
        self._period_s = period_s
        self._watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`."""
        server = scope.get("server") if self._watch is None and scope["type"] in ("http", "websocket") else None
        if server and self._listens(server[1]):
            self._watch = asyncio.create_task(self._end_sessions_on_drain(server[1]))
        await self._app(scope, receive, send)

    def stop(self) -> None:
        """Watch no longer."""
        if self._watch:
            self._watch.cancel()

    async def _end_sessions_on_drain(self, port: int) -> None:
        while not await is_draining(port):  # noqa: ASYNC110 # nothing tells
            await asyncio.sleep(self._period_s)
        log.info("This replica is to end; in %g s its sessions are asked to end.", self._farewell_s)
        await asyncio.sleep(self._farewell_s)
        while True:  # also those that come later
            await self._drain_sessions(self._period_s)
            await asyncio.sleep(self._period_s / 2)


async def is_draining(port: int) -> bool:
    """Return whether the server at a port of this machine says that it drains, or listens no longer."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(QUESTION)
                return b"DRAINING" in await reader.read()
            finally:
                writer.close()
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        with suppress(OSError):
            log.warning("Whether this replica drains cannot be found out now.")
        return False
