"""What every request gets, whatever becomes of it: an id, its headers, a line in each log, and never a traceback."""

import logging
import os
import re
import time
from dataclasses import dataclass, field, fields

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.paths import route_path
from src.errors import ClientGone, ServiceError, error_body
from src.metrics import MetricsLog, Record
from src.transcription.service import Measurements

log = logging.getLogger("src.access")

CLIENT_CLOSED = 499
"""The status under which a request is recorded whose client left; nginx's number for it."""

UNRECORDED = frozenset({"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
"""Probes and pages: they would drown the requests that the metrics are about."""

_SANE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


@dataclass(slots=True)
class Trace:
    """What is known so far about a request or a realtime item; `code` is the word of its error, if it ends in one."""

    request_id: str
    started: float = field(default_factory=time.monotonic)
    status: int = CLIENT_CLOSED
    code: str | None = None
    measured: Measurements = field(default_factory=Measurements)

    @property
    def total_s(self) -> float:
        """Seconds since the request arrived."""
        return time.monotonic() - self.started

    @property
    def outcome(self) -> str:
        """The status, and the word of the error if there is one, for a log."""
        return f"{self.status} {self.code}" if self.code else f"{self.status}"

    def record(self, *, model: str, route: str) -> Record:
        """Return the line of the metrics log for what ends now."""
        return Record(
            ts=time.time(),
            status="ok" if self.status < 400 else "error",
            code=self.status,
            duration_total_s=self.total_s,
            model=model,
            request_id=self.request_id,
            route=route,
            error=self.code,
            **{each.name: getattr(self.measured, each.name) for each in fields(self.measured)},  # asdict copies
        )


class RequestTrace:
    """ASGI middleware: puts a `Trace` at `request.state.trace`, and writes it to the logs when the request ends.

    Responses get `x-request-id` (the caller's if it is sane) and `openai-processing-ms`, as OpenAI's do. An exception
    that nothing below knows becomes a plain 500.
    """

    def __init__(self, app: ASGIApp, metrics: MetricsLog, model: str) -> None:
        self._app = app
        self._metrics = metrics
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`; only HTTP is traced."""
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
            trace.status, trace.code = CLIENT_CLOSED, "client_closed"
        except Exception:
            log.exception("%s failed", trace.request_id)
            trace.status, trace.code = 500, ServiceError.code
            if not answered:
                await _internal_error(scope, receive, send_traced)
        finally:
            self._write(scope, trace)

    def _write(self, scope: Scope, trace: Trace) -> None:
        if route_path(scope) in UNRECORDED:
            return
        route = getattr(scope.get("route"), "path", "unknown")
        record = trace.record(model=self._model, route=route)
        self._metrics.write(record)
        audio = "" if record.audio_len_s is None else f", audio {record.audio_len_s:.2f} s"
        log.info(
            "%s %s %s in %.3f s%s, %s",
            scope["method"],
            route,
            trace.outcome,
            record.duration_total_s,
            audio,
            record.request_id,
        )


def _request_id(given: str | None) -> str:
    return given if given and _SANE_ID.fullmatch(given) else f"req_{os.urandom(16).hex()}"


async def _internal_error(scope: Scope, receive: Receive, send: Send) -> None:
    body = error_body(
        "The server met an unexpected error. The request id is in its log.",
        type=ServiceError.type,
        code=ServiceError.code,
    )
    await JSONResponse(body, ServiceError.status)(scope, receive, send)
