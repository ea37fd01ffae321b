"""Tracing: the ASGI middleware that gives each request an id, and writes its lines to the logs when it ends."""

import asyncio
import logging
import re
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import error_response
from src.api.paths import UNLOGGED, route_path
from src.errors import SERVER_ANSWER, ClientGone, InvalidApiKey, ServiceError
from src.metrics import MetricsLog
from src.metrics.trace import CLIENT_CLOSED, Trace, new_request_id, write_trace

log = logging.getLogger("src.access")

_VALID_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

NAMED_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
"""Methods that the logs name. Of the others, which have no route, clients know dozens."""


class RequestTrace:
    """ASGI middleware: sets `request.state.trace` (a `Trace`), and writes it to the logs when the request ends.

    Like OpenAI's, answers have `x-request-id`, which is the caller's if that is valid, and `openai-processing-ms`. An
    unexpected exception is logged and becomes an answer 500 without details.

    Of WebSockets, the handshakes that are refused are written; each item of a session has a line of its own.

    Args:
        app: the application behind it.
        metrics: the metrics log.
        model: name of the served model, for the metrics log.
        unlogged_paths: paths whose requests are in no log.
        names_answers: whether HTTP answers get the header `x-request-id` here. If not, a server around the application
            adds it; that server gives requests without an id one, so that the logs have the same.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: MetricsLog,
        model: str,
        unlogged_paths: frozenset[str] = UNLOGGED,
        *,
        names_answers: bool = True,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._model = model
        self._unlogged_paths = unlogged_paths
        self._names_answers = names_answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        trace = Trace(_request_id(Headers(scope=scope).get("x-request-id")))
        scope.setdefault("state", {})["trace"] = trace
        serve = self._serve_request if scope["type"] == "http" else self._serve_websocket
        await serve(trace, scope, receive, send)

    async def _serve_websocket(self, trace: Trace, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, and write its handshake to the logs if the application refuses it."""

        async def send_traced(message: Message) -> None:
            if message["type"] == "websocket.http.response.start":
                trace.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = trace.request_id
                self._write(scope, trace, "WS")
            await send(message)

        await self._app(scope, receive, send_traced)

    async def _serve_request(self, trace: Trace, scope: Scope, receive: Receive, send: Send) -> None:
        channels = _Channels(trace, receive, send, self._names_answers)
        try:
            await self._app(scope, channels.receive, channels.send)
        except ClientGone:
            trace.status, trace.error_code = CLIENT_CLOSED, "client_closed"
        except asyncio.CancelledError:  # by which some servers say that the client has left
            if not channels.has_ended:
                trace.status, trace.error_code = CLIENT_CLOSED, "client_closed"
            raise
        except Exception:
            log.exception("%s failed", trace.request_id)
            error = ServiceError("The server met an unexpected error. The request id is in its log.")
            trace.status, trace.error_code = error.status, error.code
            if not channels.has_begun:
                with suppress(ClientGone):
                    await error_response(error)(scope, receive, channels.send)
        finally:
            trace.status, trace.error_code = scope["state"].get(SERVER_ANSWER, (trace.status, trace.error_code))
            if route_path(scope) not in self._unlogged_paths:
                self._write(scope, trace, scope["method"] if scope["method"] in NAMED_METHODS else "other")

    def _write(self, scope: Scope, trace: Trace, method: str) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        client = scope.get("client") if trace.status == InvalidApiKey.status else None
        write_trace(
            trace,
            self._metrics,
            model=self._model,
            route=route,
            label=f"{method} {route}",
            client=client[0] if client else None,
        )


class _Channels:
    """The server's two channels of a request, as the application gets them: its answer is traced.

    A server may say that the client has left by an error of its own (ASGI: `send` raises an `OSError`; Ray's `receive`
    raises what its proxy met). Here it is always `ClientGone`.
    """

    def __init__(self, trace: Trace, receive: Receive, send: Send, names_answer: bool) -> None:
        self._trace = trace
        self._receive = receive
        self._send = send
        self._names_answer = names_answer
        self.has_begun = False
        """Whether the answer has begun."""
        self.has_ended = False
        """Whether the server has all of the answer."""

    async def receive(self) -> Message:
        """Return the next message of the server.

        Raises:
            ClientGone: the server has failed to receive.
        """
        try:
            return await self._receive()
        except Exception as error:
            log.info("%s: its server cannot receive any more: %r", self._trace.request_id, error)
            raise ClientGone from error

    async def send(self, message: Message) -> None:
        """Pass a message of the answer to the server.

        Raises:
            ClientGone: the server says that the client has left.
        """
        if message["type"] == "http.response.start":
            self.has_begun = True
            self._trace.status = message["status"]
            headers = MutableHeaders(scope=message)
            if self._names_answer:
                headers["x-request-id"] = self._trace.request_id
            headers["openai-processing-ms"] = str(round(self._trace.total_s * 1000))
        elif message["type"] == "http.response.body":
            self.has_ended = not message.get("more_body", False)
        try:
            await self._send(message)
        except OSError as error:
            raise ClientGone from error


def _request_id(given: str | None) -> str:
    return given if given and _VALID_ID.fullmatch(given) else new_request_id()
