"""Errors that the server answers in place of the application (src.server.http_errors)."""

import json
from http import HTTPStatus

import pytest

from src.server.http_errors import error_json, raw_response


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid_request_error"), (503, "server_error")])
def test_an_error_has_the_shape_of_the_apis_own(status, kind):
    assert json.loads(error_json(status, "some_code", "Some message.")) == {
        "error": {"message": "Some message.", "type": kind, "param": None, "code": "some_code"}
    }


def test_a_response_is_whole_and_closes_the_connection():
    head, _, body = raw_response(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "Too slow.").partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 408 Request Timeout",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"connection: close",
    ]
    assert body == error_json(408, "request_timeout", "Too slow.")
