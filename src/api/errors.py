"""Errors as answers: over HTTP, in place of a WebSocket, and in the description of the API.

A `ServiceError` carries its status, headers and body. Errors of the framework become one here, so that all answers that
are not 2xx have the same form. `src.server.errors` answers what never reaches the application.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from src.api.dependencies import services_of, trace_of
from src.errors import InvalidRequest, MethodNotAllowed, ServiceError, error_body
from src.metrics.trace import Trace


class ErrorDetail(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None = Field(description="The invalid field.")
    code: str | None


class ErrorAnswer(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail


_DESCRIPTIONS = {
    400: "The request cannot be served as it is; `param` and `message` say why.",
    401: "The API key is missing, wrong or expired.",
    403: "The request comes from a web page of another origin, and the service has no keys.",
    404: "The model is not served here.",
    408: "The body of the request arrived too slowly.",
    413: "The audio is too long, or the upload too large.",
    415: "The body is compressed.",
    429: "Too many requests are waiting or in progress; try again after `Retry-After` seconds.",
    500: "The model failed on this clip.",
    503: "The service is starting, stopping or too busy; try again after `Retry-After` seconds.",
}


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers with these statuses, in the form of FastAPI's parameter `responses`."""
    return {status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[status]} for status in statuses}


def error_response(error: ServiceError) -> JSONResponse:
    """Return the HTTP answer for an error."""
    return JSONResponse(error.body, error.status, headers=error.headers)


async def send_error(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the connection of `scope` with an error; a WebSocket gets it in place of its handshake."""
    if scope["type"] == "websocket":
        await refuse_handshake(WebSocket(scope, receive, send), error)
    else:
        await _traced_response(Request(scope, receive), error)(scope, receive, send)


async def refuse_handshake(websocket: WebSocket, error: ServiceError) -> None:
    """Answer the handshake of a WebSocket with an error, and note its code in the trace of the handshake."""
    trace: Trace | None = websocket.scope.get("state", {}).get("trace")
    if trace:
        trace.error_code = error.code
    await websocket.send_denial_response(error_response(error))


def add_error_handlers(app: FastAPI) -> None:
    """Make `app` answer errors of its routes and of the framework, and paths that no route has."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.router.default = _unknown_path


def _traced_response(request: Request, error: ServiceError) -> JSONResponse:
    """Return the HTTP answer for an error, and note its code in the trace of `request`."""
    trace_of(request).error_code = error.code
    return error_response(error)


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return _traced_response(request, error)


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that the framework rejects, such as one with a wrong method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == MethodNotAllowed.status:
        response = _traced_response(
            request, MethodNotAllowed(services_of(request.app).known_paths.wrong_method(request.scope))
        )
        # The framework names the methods of the path's first route. HEAD has a route of its own.
        response.headers["allow"] = "GET, HEAD" if headers["Allow"] == "GET" else headers["Allow"]
        return response
    trace_of(request).error_code = code = "invalid_request"
    body = error_body(str(error.detail), type=InvalidRequest.type, code=code)
    return JSONResponse(body, error.status_code, headers=headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a request with parameters that FastAPI finds invalid."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = str(first["loc"][-1])
    return _traced_response(request, InvalidRequest(f"`{param}`: {first['msg']}.", param=param))


async def _unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a connection whose path no route has, or none for its protocol."""
    error = services_of(scope["app"]).known_paths.missing(scope)
    await send_error(error, scope, receive, send)
