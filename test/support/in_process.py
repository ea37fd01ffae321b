"""The application in the test's process, without a port: for what needs no model and no uvicorn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Message

from src.app import create_app
from src.settings import Settings

BASE_URL = "http://stt.example.com"


def new_app(log_dir: Path, **settings: object) -> FastAPI:
    """Return an application that is not started: it has no model."""
    return create_app(Settings(**{"model_id": "tiny", "log_dir": log_dir} | settings))


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`, as from 192.0.2.1."""
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 1234))
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


def request_of(*pieces: bytes, query: str = "", ends: bool = True, **headers: str) -> Request:
    """Return a POST request whose body comes in `pieces`; unless it `ends`, its client then disconnects."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b""} if ends else {"type": "http.disconnect"})
    coming = iter(messages)

    async def receive() -> Message:
        return next(coming)

    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": encoded}
    return Request(scope, receive)
