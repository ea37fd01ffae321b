"""Tracing: the id and the headers of each answer, and its lines in the logs, whatever the application does."""

import json
import logging
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from in_process import client_of, new_app
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse

from src.api.errors import send_error
from src.api.middleware import NAMED_METHODS, RequestTrace
from src.errors import SERVER_ANSWER, ClientGone, InvalidApiKey, TooManySessions
from src.metrics import MetricsLog


class Traced:
    """An application behind `RequestTrace`, and the records that it leaves."""

    def __init__(self, app, log_dir: Path, *, names_answers: bool = True) -> None:
        self._log_dir = log_dir
        self._metrics = MetricsLog(log_dir)
        self.app = RequestTrace(app, self._metrics, "tiny", names_answers=names_answers)

    def records(self) -> list[dict]:
        """Close the metrics log and return its lines."""
        self._metrics.close()
        path = self._log_dir / "metrics" / "metrics.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_an_answer_has_an_id_and_its_time_and_leaves_a_record(tmp_path):
    traced = Traced(PlainTextResponse("hello"), tmp_path)
    async with client_of(traced.app) as client:
        answers = [await client.get("/v1/x") for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 2
    assert all(each.startswith("req_") for each in ids)
    assert all(int(answer.headers["openai-processing-ms"]) >= 0 for answer in answers)
    records = traced.records()
    assert [record["request_id"] for record in records] == ids
    assert {(record["code"], record["status"], record["model"], record["route"]) for record in records} == {
        (200, "ok", "tiny", "unknown")
    }


@pytest.mark.parametrize(
    ("given", "kept"), [("order-66/part.2", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False)]
)
async def test_a_callers_id_is_kept_if_it_is_valid(tmp_path, given, kept):
    async with client_of(Traced(PlainTextResponse("hello"), tmp_path).app) as client:
        answer = await client.get("/", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) == kept


@pytest.mark.parametrize("given", [{}, {"x-request-id": "order-66"}])
async def test_a_server_around_the_application_may_give_the_id_that_the_answer_and_the_record_have(tmp_path, given):
    traced = Traced(PlainTextResponse("hello"), tmp_path, names_answers=False)

    async def around(scope, receive, send):
        """Do as Ray Serve's `RequestIdMiddleware` does."""
        headers = MutableHeaders(scope=scope)
        if "x-request-id" not in headers:
            headers.append("x-request-id", "made-outside")

        async def send_named(message):
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("X-Request-ID", headers["x-request-id"])
            await send(message)

        await traced.app(scope, receive, send_named)

    async with client_of(around) as client:
        answer = await client.get("/v1/x", headers=given)
    assert answer.headers.get_list("x-request-id") == [given.get("x-request-id", "made-outside")]
    assert answer.headers["openai-processing-ms"]
    assert [record["request_id"] for record in traced.records()] == answer.headers.get_list("x-request-id")


async def test_an_unexpected_exception_is_a_500_without_details(tmp_path, caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("a detail")

    traced = Traced(broken, tmp_path)
    async with client_of(traced.app) as client:
        answer = await client.get("/v1/x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "a detail" not in answer.text
    assert "a detail" in caplog.text
    assert [(record["code"], record["error"]) for record in traced.records()] == [(500, "internal_error")]


async def test_an_exception_during_the_answer_does_not_begin_a_second_one(tmp_path):
    sent = []

    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    async def send(message):
        sent.append(message["type"])

    traced = Traced(broken, tmp_path)
    await traced.app({"type": "http", "method": "GET", "path": "/v1/x", "headers": []}, None, send)
    assert sent == ["http.response.start"]
    assert [record["code"] for record in traced.records()] == [500]


async def test_a_client_that_has_gone_gets_no_answer_and_a_record(tmp_path):
    async def left(scope, receive, send):
        raise ClientGone

    async def send(message):
        raise AssertionError(message)

    traced = Traced(left, tmp_path)
    await traced.app({"type": "http", "method": "GET", "path": "/v1/x", "headers": []}, None, send)
    assert [(record["code"], record["error"]) for record in traced.records()] == [(499, "client_closed")]


@pytest.mark.parametrize("error", [None, ClientGone])
async def test_a_request_that_the_server_has_answered_has_that_answer_in_its_record(tmp_path, error):
    async def cut_off(scope, receive, send):
        if error:
            raise error
        await PlainTextResponse("unheard")(scope, receive, send)

    async def send(message):
        pass

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": []}
    traced = Traced(cut_off, tmp_path)
    await traced.app(scope | {"state": {SERVER_ANSWER: (400, "invalid_http")}}, None, send)
    assert [(record["code"], record["error"]) for record in traced.records()] == [(400, "invalid_http")]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/docs/page.css", "/redoc", "/openapi.json"])
async def test_probes_and_documentation_leave_no_record(tmp_path, path):
    traced = Traced(PlainTextResponse("hello"), tmp_path)
    async with client_of(traced.app) as client:
        assert (await client.get(path)).headers["x-request-id"]
    assert traced.records() == []


def handshake(client: tuple[str, int] | None = ("192.0.2.7", 1234)) -> dict:
    """The scope of a WebSocket."""
    return {"type": "websocket", "path": "/v1/realtime", "headers": [], "client": client}


@pytest.mark.parametrize("error", [InvalidApiKey("Which key?"), TooManySessions("Full.", retry_after_s=1)])
async def test_a_handshake_that_is_refused_leaves_a_record_and_has_its_id(tmp_path, caplog, error):
    caplog.set_level(logging.INFO, "src.access")
    sent = []

    async def refuse(scope, receive, send):
        await send_error(error, scope | {"extensions": {"websocket.http.response": {}}}, receive, send)

    async def send(message):
        sent.append(message)

    traced = Traced(refuse, tmp_path)
    await traced.app(handshake(), None, send)
    (record,) = traced.records()
    assert (record["code"], record["error"], record["route"]) == (error.status, error.code, "unknown")
    assert dict(sent[0]["headers"])[b"x-request-id"].decode() == record["request_id"]
    assert ("from 192.0.2.7" in caplog.messages[-1]) == (error.status == 401), "who guesses keys is named"


async def test_a_session_leaves_no_record_of_its_own(tmp_path):
    async def accept(scope, receive, send):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})

    async def send(message):
        pass

    traced = Traced(accept, tmp_path)
    await traced.app(handshake(client=None), None, send)
    assert traced.records() == []


async def test_a_wrong_key_over_http_is_logged_with_its_address(tmp_path, caplog):
    caplog.set_level(logging.INFO, "src.access")
    traced = Traced(PlainTextResponse("no", 401), tmp_path)
    async with client_of(traced.app) as client:
        await client.get("/v1/x")
    assert "from 192.0.2.1" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("method", "named"),
    [("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS"), ("PROPFIND", "other"), ("X", "other")],
)
async def test_a_method_that_no_route_has_is_not_named_so_that_a_client_cannot_make_up_kinds_of_requests(
    tmp_path, caplog, method, named
):
    caplog.set_level(logging.INFO, "src.access")
    traced = Traced(PlainTextResponse("no", 405), tmp_path)
    async with client_of(traced.app) as client:
        await client.request(method, "/v1/models")
    assert caplog.messages[-1].startswith(f"{named} unknown 405 in ")


def test_the_methods_that_are_named_are_those_of_the_routes_and_that_of_cors(tmp_path):
    routes = iter_route_contexts(new_app(tmp_path).routes)
    methods = {method for each in routes for method in getattr(each.original_route, "methods", None) or ()}
    assert methods >= {"GET", "POST"}
    assert methods | {"OPTIONS"} == NAMED_METHODS
