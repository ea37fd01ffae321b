"""The end of sessions on a replica that drains, beside a server that says so as Ray's does."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from src.fleet.draining import SessionsEnd, is_draining


class Server:
    """Answers each request as Ray's server of a replica answers /-/healthz, and notes its first line."""

    def __init__(self):
        self.answer = b"HTTP/1.1 200 OK\r\n\r\nsuccess"
        self.asked = []

    async def serve(self, reader, writer):
        self.asked.append(await reader.readline())
        writer.write(self.answer)
        writer.close()

    def drain(self):
        self.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\nDRAINING"


@asynccontextmanager
async def replica_server():
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield server, listening.sockets[0].getsockname()[1]


async def no_app(scope, receive, send):
    pass


async def test_a_server_drains_once_it_says_so():
    async with replica_server() as (server, port):
        assert not await is_draining(port)
        assert server.asked == [b"GET /-/healthz HTTP/1.1\r\n"]
        server.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\nUNHEALTHY"
        assert not await is_draining(port)
        server.drain()
        assert await is_draining(port)


async def test_a_server_that_listens_no_longer_drains():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert await is_draining(port)


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_from_the_first_connection_on_the_drain_is_watched_for_and_ends_sessions_again_and_again(kind):
    asked = asyncio.Queue()

    async def drain_sessions(grace_s):
        asked.put_nowait(grace_s)

    async with replica_server() as (server, port):
        watched = SessionsEnd(no_app, drain_sessions, lambda each: each == port, farewell_s=0, period_s=0.01)
        await watched({"type": kind, "server": ("127.0.0.1", 1)}, None, None)  # of a proxy, which passes it on
        assert watched._watch is None
        await watched({"type": kind, "server": ("127.0.0.1", port)}, None, None)
        while len(server.asked) < 3:  # noqa: ASYNC110 # the server of the test has no events
            await asyncio.sleep(0.001)
        assert asked.empty()
        server.drain()
        assert [await asked.get() for _ in range(3)] == [0.01] * 3  # sessions that come later end too
        watched.stop()


async def test_connections_reach_the_application_and_start_one_watch():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    async with replica_server() as (_, port):
        watched = SessionsEnd(app, None, lambda _: True)
        for kind in ("lifespan", "http", "http"):
            await watched({"type": kind, "server": ("127.0.0.1", port)}, None, None)
        assert seen == ["lifespan", "http", "http"]
        watches = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert len([task for task in watches if "_end_sessions_on_drain" in repr(task)]) == 1
        watched.stop()
