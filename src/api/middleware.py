"""Tracing: the ASGI middleware that gives each request an id, and writes its lines to the logs when it ends."""

import logging
import os
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import error_response
from src.api.paths import DOCUMENTATION, PROBES, route_path
from src.errors import ClientGone, ServiceError
from src.metrics import MetricsLog
from src.metrics.trace import CLIENT_CLOSED, Trace, write_trace

log = logging.getLogger("src.access")

_VALID_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class RequestTrace:
    """ASGI middleware: sets `request.state.trace` (a `Trace`), and writes it to the logs when the request ends.

    Like OpenAI's, answers have `x-request-id`, which is the caller's if that is valid, and `openai-processing-ms`. An
    unexpected exception is logged and becomes an answer 500 without details.

    Args:
        app: the application behind it.
        metrics: the metrics log.
        model: name of the served model, for the metrics log.
        unlogged_paths: paths whose requests are in no log.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: MetricsLog,
        model: str,
        unlogged_paths: frozenset[str] = PROBES | DOCUMENTATION,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._model = model
        self._unlogged_paths = unlogged_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`. Only HTTP is traced."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = Trace(_request_id(Headers(scope=scope).get("x-request-id")))
        scope.setdefault("state", {})["trace"] = trace
        answered = False

        async def send_traced(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                trace.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = trace.request_id
                headers["openai-processing-ms"] = str(round(trace.total_s * 1000))
            await send(message)

        try:
            await self._app(scope, receive, send_traced)
        except ClientGone:
            trace.status, trace.error_code = CLIENT_CLOSED, "client_closed"
        except Exception:
            log.exception("%s failed", trace.request_id)
            error = ServiceError("The server met an unexpected error. The request id is in its log.")
            trace.status, trace.error_code = error.status, error.code
            if not answered:
                await error_response(error)(scope, receive, send_traced)
        finally:
            self._write(scope, trace)

    def _write(self, scope: Scope, trace: Trace) -> None:
        if route_path(scope) in self._unlogged_paths:
            return
        route = getattr(scope.get("route"), "path", "unknown")
        write_trace(trace, self._metrics, model=self._model, route=route, label=f"{scope['method']} {route}")


def _request_id(given: str | None) -> str:
    return given if given and _VALID_ID.fullmatch(given) else f"req_{os.urandom(16).hex()}"
