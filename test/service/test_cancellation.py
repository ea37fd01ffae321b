"""The real application under a server that cancels requests, as Ray Serve does when a client leaves."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import HeldModel, clip
from fastapi import FastAPI
from running_service import until as wait_until
from starlette.types import Message

from src.api.dependencies import services_of
from src.app import create_app
from src.metrics.log import metrics_path
from src.settings import Settings

PCM = (clip(7) * 32767).astype("<i2").tobytes()


async def pass_on(message: Message) -> None:
    """What a server does with a message as a rule: it comes back at once."""


class Exchange:
    """One request or session of an application, in a task: what the application has sent, and what it is to get."""

    def __init__(self, app: FastAPI, scope: dict[str, Any]) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.coming: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.on_sent: Callable[[Message], Awaitable[None]] = pass_on
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        message = await self.coming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def _send(self, message: Message) -> None:
        await self.sent.put(message)
        await self.on_sent(message)

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def running(tmp_path: Path, model: HeldModel) -> AsyncIterator[FastAPI]:
    """The application on `model`, without the parts that these requests do not need: they cost a second each."""
    app = create_app(Settings(model_id="tiny", log_dir=tmp_path, max_queue_wait_s=60), load=lambda _: model)
    services = services_of(app)
    await services.scheduler.start(lambda: model)
    yield app
    model.release_all()
    await services.scheduler.stop(60)
    services.metrics.close()


async def until(condition) -> None:
    """Return once `condition` holds, which nothing announces; the test's time limit bounds the wait."""
    await asyncio.sleep(0)
    if not condition():
        await asyncio.to_thread(wait_until, condition)


def upload(app: FastAPI, body: bytes = PCM, *, more_body: bool = False, query: str = "") -> Exchange:
    """A request whose body has come, all of it unless there is `more_body`."""
    headers = [(b"content-type", b"audio/pcm"), (b"host", b"localhost")]
    exchange = Exchange(
        app,
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/audio/transcriptions",
            "raw_path": b"/v1/audio/transcriptions",
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 8000),
        },
    )
    exchange.coming.put_nowait({"type": "http.request", "body": body, "more_body": more_body})
    return exchange


def lines(tmp_path: Path) -> list[tuple[int, str | None]]:
    """Status and error code of each line of the metrics log."""
    entries = map(json.loads, metrics_path(tmp_path).read_text().splitlines())
    return [(entry["code"], entry["error"]) for entry in entries]


async def test_a_request_that_is_cancelled_while_its_body_comes_is_a_client_that_left(tmp_path):
    async with running(tmp_path, HeldModel()) as app:
        exchange = upload(app, PCM[:100], more_body=True)
        await until(lambda: services_of(app).scheduler.preparing and exchange.coming.empty())
        await exchange.cancel()
        assert services_of(app).scheduler.admitted == 0
    assert lines(tmp_path) == [(499, "client_closed")]


async def test_a_request_that_is_cancelled_while_the_model_runs_it_is_a_client_that_left(tmp_path):
    model = HeldModel()
    async with running(tmp_path, model) as app:
        exchange = upload(app)
        await until(lambda: model.batches)
        await exchange.cancel()
        assert services_of(app).scheduler.admitted == 0
        model.release_all()
        other = upload(app)
        assert (await other.sent.get())["status"] == 200
        await other.task
    assert lines(tmp_path) == [(499, "client_closed"), (200, None)]


async def test_a_stream_that_is_cancelled_is_a_client_that_left_although_its_answer_has_begun(tmp_path):
    async with running(tmp_path, HeldModel(held=False)) as app:
        exchange = upload(app, query="stream=true")

        async def wait_after_the_first_event(message: Message) -> None:
            if message.get("more_body"):
                await asyncio.Event().wait()

        exchange.on_sent = wait_after_the_first_event
        assert (await exchange.sent.get())["status"] == 200
        assert b"transcript.text.delta" in (await exchange.sent.get())["body"]
        await exchange.cancel()
    assert lines(tmp_path) == [(499, "client_closed")]


async def test_a_request_that_is_cancelled_after_its_answer_has_succeeded(tmp_path):
    async with running(tmp_path, HeldModel(held=False)) as app:
        exchange = upload(app)

        async def wait_after_the_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        exchange.on_sent = wait_after_the_body
        assert (await exchange.sent.get())["status"] == 200
        assert b'"text":"7"' in (await exchange.sent.get())["body"]
        await exchange.cancel()
    assert lines(tmp_path) == [(200, None)]


@pytest.mark.parametrize("body", [PCM, PCM[:100]], ids=["while the model runs it", "while its body comes"])
async def test_a_server_that_cannot_receive_any_more_has_lost_its_client(tmp_path, body):
    async with running(tmp_path, HeldModel()) as app:
        exchange = upload(app, body, more_body=len(body) < len(PCM))
        await until(lambda: services_of(app).scheduler.admitted)
        exchange.coming.put_nowait(RuntimeError("The task was cancelled."))
        await exchange.task
        assert exchange.sent.empty()
    assert lines(tmp_path) == [(499, "client_closed")]


async def test_a_server_that_cannot_send_any_more_has_lost_its_client(tmp_path):
    model = HeldModel()
    async with running(tmp_path, model) as app:
        exchange = upload(app)
        await until(lambda: model.batches)

        async def fail(message: Message) -> None:
            raise BrokenPipeError

        exchange.on_sent = fail
        model.release_all()
        await exchange.task
    assert lines(tmp_path) == [(499, "client_closed")]


async def test_the_items_of_a_session_that_is_cancelled_are_those_of_a_client_that_left(tmp_path, caplog):
    caplog.set_level("INFO", "src.access")
    model = HeldModel()
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/v1/realtime",
        "raw_path": b"/v1/realtime",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 8000),
    }
    async with running(tmp_path, model) as app:
        session = Exchange(app, scope)
        audio = base64.b64encode(PCM).decode()
        session.coming.put_nowait({"type": "websocket.connect"})
        for event in ({"type": "input_audio_buffer.append", "audio": audio}, {"type": "input_audio_buffer.commit"}):
            session.coming.put_nowait({"type": "websocket.receive", "text": json.dumps(event)})
        await until(lambda: "input_audio_buffer.committed" in str(session.sent))
        assert services_of(app).load().sessions == 1
        await session.cancel()
        assert services_of(app).load().sessions == 0
    assert lines(tmp_path) == [(499, "client_closed")]
    assert any(line.startswith("WS /v1/realtime 1005 in ") for line in caplog.messages)
