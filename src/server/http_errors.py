"""Errors."""

import json
from http import HTTPStatus

from src.errors import error_body


def error_json(status: int, code: str, message: str) -> bytes:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return json.dumps(error_body(message, type=kind, code=code)).encode()


def error_response(status: HTTPStatus, code: str, message: str) -> bytes:
    body = error_json(status, code, message)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
