"""The server's protocols, driven without a network: a connection to an application, in a `VirtualLoop`."""

import asyncio
from collections.abc import Callable
from typing import Any

from fake_transport import FakeTransport
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from src.memory.budget import Budget
from src.server.http_protocol import HttpProtocol
from src.server.server import server_config


class EchoApp:
    """Answers a request with its body, and a WebSocket message with the message, once `open` is set.

    Args:
        reads_bodies: whether it waits for the bodies of requests.
    """

    def __init__(self, *, reads_bodies: bool = True) -> None:
        self._reads_bodies = reads_bodies
        self.open = asyncio.Event()
        self.open.set()
        self.requests: list[str] = []
        """Paths of the requests that have begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(scope["path"])
        await self.open.wait()
        await (self._serve_websocket if scope["type"] == "websocket" else self._serve_request)(receive, send)

    async def _serve_request(self, receive: Receive, send: Send) -> None:
        body, more = b"", self._reads_bodies
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _serve_websocket(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send(_echo(message))


def _echo(message: Message) -> Message:
    return {**message, "type": "websocket.send"}


class Server:
    """Connections to one application.

    Args:
        app: the application.
        memory_bytes: budget for WebSocket messages.
        options: of `server_config`.
    """

    def __init__(self, app: ASGIApp, memory_bytes: int = 1 << 20, **options: Any) -> None:
        self._config = server_config(app, Budget(memory_bytes), lifespan="off", **options)
        self._config.load()
        self._state = ServerState()

    def connect(self) -> FakeTransport:
        """Return a new connection; its `protocol` gets what the client sends."""
        transport = FakeTransport()
        new_protocol: Callable[..., HttpProtocol] = self._config.http_protocol_class  # type: ignore[assignment] # ours
        protocol = new_protocol(config=self._config, server_state=self._state, app_state={})
        transport.protocol = protocol
        protocol.connection_made(transport)
        return transport
