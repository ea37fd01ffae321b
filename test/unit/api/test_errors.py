"""Errors as answers: of routes, of the framework, of paths that no route has, and in place of a WebSocket."""

import json

import pytest
from fastapi import FastAPI
from in_process import client_of, new_app
from openai_schema import ErrorBody
from starlette.exceptions import HTTPException

from src.api.errors import add_error_handlers, documented_errors, error_response, send_error
from src.errors import InvalidApiKey, QueueFull, ServiceError
from src.metrics.trace import Trace


def failing(error: Exception) -> tuple[FastAPI, Trace]:
    """An application whose route `/fail` raises, and the trace of its requests."""
    app, trace = FastAPI(), Trace("req_1")
    add_error_handlers(app)

    @app.get("/fail")
    async def fail(number: int = 0) -> None:
        raise error

    @app.middleware("http")
    async def traced(request, call_next):
        request.state.trace = trace
        return await call_next(request)

    return app, trace


async def test_an_error_of_a_route_is_its_answer_and_in_the_trace():
    app, trace = failing(QueueFull("Full.", retry_after_s=7))
    async with client_of(app) as client:
        answer = await client.get("/fail")
    assert (answer.status_code, answer.headers["retry-after"], trace.error_code) == (429, "7", "queue_full")
    assert ErrorBody.model_validate_json(answer.content).error.message == "Full."


async def test_an_error_of_the_framework_has_the_same_form():
    app, trace = failing(HTTPException(418, "I am a teapot.", headers={"x-tea": "green"}))
    async with client_of(app) as client:
        answer = await client.get("/fail")
    assert (answer.status_code, answer.headers["x-tea"], trace.error_code) == (418, "green", "invalid_request")
    assert ErrorBody.model_validate_json(answer.content).error.message == "I am a teapot."


async def test_an_invalid_parameter_is_named():
    app, trace = failing(ServiceError("Not reached."))
    async with client_of(app) as client:
        answer = await client.get("/fail", params={"number": "many"})
    error = ErrorBody.model_validate_json(answer.content).error
    assert (answer.status_code, error.param, error.code, trace.error_code) == (
        400,
        "number",
        "invalid_value",
        "invalid_value",
    )


async def test_a_wrong_method_is_answered_with_the_right_ones(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        answers = [await client.delete("/v1/models"), await client.get("/v1/audio/transcriptions")]
    assert [answer.status_code for answer in answers] == [405, 405]
    assert [answer.headers["allow"] for answer in answers] == ["GET, HEAD", "POST"]
    assert {ErrorBody.model_validate_json(each.content).error.code for each in answers} == {"method_not_allowed"}


async def test_an_unknown_path_is_not_found(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        answer = await client.post("/no/such/path")
    assert (answer.status_code, ErrorBody.model_validate_json(answer.content).error.code) == (404, "not_found")


async def test_a_websocket_gets_the_error_in_place_of_its_handshake():
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    await send_error(InvalidApiKey("Which key?"), scope, receive=None, send=send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    assert (b"www-authenticate", b"Bearer") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error"]["message"] == "Which key?"


def test_the_answer_has_the_status_the_headers_and_the_body_of_the_error():
    error = QueueFull("Full.", retry_after_s=7)
    response = error_response(error)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert json.loads(bytes(response.body)) == error.body


@pytest.mark.parametrize("statuses", [(401,), (400, 404, 408, 413, 415, 429, 500, 503)])
def test_each_documented_status_has_a_description(statuses):
    documented = documented_errors(*statuses)
    assert tuple(documented) == statuses
    assert all(each["description"].endswith(".") for each in documented.values())
