"""Handshakes that are rejected (src.server.websocket_handshake)."""

import json

import pytest

from src.server.websocket_handshake import JsonErrorProtocol


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_handshake"),
        (403, "forbidden"),
        (414, "headers_too_large"),
        (426, "upgrade_required"),
        (431, "headers_too_large"),
        (500, "internal_error"),
    ],
)
def test_a_rejection_is_a_json_error(status, code):
    refused = []
    response = JsonErrorProtocol(lambda *refusal: refused.append(refusal)).reject(status, "The reason.\n")
    assert refused == [("WS", status, code)]
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Length"] == str(len(response.body))
    error = json.loads(response.body)["error"]
    assert (error["code"], error["message"]) == (code, "The reason.")


def test_a_rejection_without_a_reason_has_a_message_too():
    response = JsonErrorProtocol(lambda *_: None).reject(403, "")
    assert json.loads(response.body)["error"]["message"] == "The connection is refused."
