"""Errors that the server answers in place of the application, in the shape of the API's own."""

import json
from collections.abc import Callable
from http import HTTPStatus

from src.errors import error_body

OnRefused = Callable[[str, int, str], None]
"""Called with `HTTP` or `WS`, the status and the code of an error that the server answers itself."""


def error_json(status: int, code: str, message: str) -> bytes:
    """Return the JSON body of an error."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return json.dumps(error_body(message, type=kind, code=code)).encode()


def raw_response(status: HTTPStatus, code: str, message: str) -> bytes:
    """Return a whole HTTP/1.1 response with an error; the connection is closed after it."""
    body = error_json(status, code, message)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
