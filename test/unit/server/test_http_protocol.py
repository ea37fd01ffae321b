"""HTTP connections: time limits, upgrades, pipelines (src.server.http_protocol). Others: service/test_server.py."""

import asyncio
import json
import re

import pytest
from fake_transport import FakeTransport
from server_harness import EchoApp, Server
from virtual_time import in_virtual_time, virtual_loop

from src.server.eviction import EvictionRank
from src.server.http_protocol import FEED_BYTES, MAX_HEAD_BYTES, MAX_PIPELINED
from src.server.transport import LINGER_S

CHUNKED = b"POST /two HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = CHUNKED + b"5\r\nhello\r\nzz\r\n"
HEAD_S = 10.0
GET = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


def statuses(transport: FakeTransport) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", transport.written)]


def error_code(transport: FakeTransport) -> str:
    return json.loads(transport.written.rpartition(b"\r\n\r\n")[2])["error"]["code"]


async def settled() -> None:
    await virtual_loop().settled()


@in_virtual_time
async def test_a_connection_without_a_request_is_closed_in_time():
    transport = Server(EchoApp(), head_s=HEAD_S).connect()
    await asyncio.sleep(HEAD_S - 1)
    assert not transport.is_closing()
    await asyncio.sleep(2)
    assert transport.is_closing()
    assert transport.written == b""


@pytest.mark.parametrize("begun", [b"G", GET[:-2], b"\r\n"])
@in_virtual_time
async def test_an_incomplete_head_is_answered_in_time(begun):
    transport = Server(EchoApp(), head_s=HEAD_S).connect()
    transport.receive(begun)
    await asyncio.sleep(HEAD_S + 1)
    assert (statuses(transport), error_code(transport)) == ([408], "request_timeout")
    await asyncio.sleep(LINGER_S + 1)
    assert transport.is_closing()


@in_virtual_time
async def test_a_head_that_is_too_large_is_rejected():
    app = EchoApp()
    transport = Server(app).connect()
    transport.receive(GET[:-2] + b"A: b\r\n" * MAX_HEAD_BYTES)
    assert (statuses(transport), error_code(transport)) == ([431], "headers_too_large")
    assert app.requests == []
    await asyncio.sleep(LINGER_S + 1)


@in_virtual_time
async def test_fields_after_a_chunked_body_are_no_headers():
    transport = Server(EchoApp()).connect()
    transport.receive(CHUNKED + b"1\r\na\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n")
    assert [name for name, _ in transport.protocol.headers] == [b"host", b"transfer-encoding"]
    transport.receive(b"\r\n" + GET)
    await settled()
    assert statuses(transport) == [200, 200]
    transport.abort()


@pytest.mark.parametrize("begun", [b"0\r\n", b"0\r\na: ", b"1;"], ids=["fields", "a field", "an extension"])
@pytest.mark.parametrize("reads_bodies", [True, False])
@in_virtual_time
async def test_what_a_chunked_body_has_beside_its_content_is_limited(begun, reads_bodies):
    transport = Server(EchoApp(reads_bodies=reads_bodies)).connect()
    transport.receive(CHUNKED + b"1\r\na\r\n")
    await settled()
    transport.receive(begun)
    more = b"a: bcdef\r\n" if begun == b"0\r\n" else b"a" * 10
    transport.receive(more * (MAX_HEAD_BYTES // 10 - 10))
    assert not transport.is_eof_written
    transport.receive(more * 20)
    await settled()
    assert statuses(transport) == ([431] if reads_bodies else [200])
    assert transport.is_eof_written
    await asyncio.sleep(LINGER_S + 1)
    assert transport.is_closing()


@in_virtual_time
async def test_a_chunked_body_of_many_pieces_has_no_limit_of_a_head():
    transport = Server(EchoApp()).connect()
    transport.receive(CHUNKED)
    for _ in range(10):
        transport.receive(b"1\r\na\r\n" * (MAX_HEAD_BYTES // 6))
    transport.receive(b"0\r\n\r\n")
    await settled()
    assert statuses(transport) == [200]
    transport.abort()


@in_virtual_time
async def test_what_follows_a_request_and_is_no_http_is_answered_after_it():
    transport = Server(EchoApp()).connect()
    transport.receive(GET + b"nonsense\r\n\r\n")
    await settled()
    assert (statuses(transport), error_code(transport)) == ([200, 400], "invalid_http")
    assert transport.is_eof_written
    await asyncio.sleep(LINGER_S + 1)
    assert transport.is_closing()


@pytest.mark.parametrize("target", [b"http://x", b"http://x:999999/", b"http://[::1"])
@in_virtual_time
async def test_a_target_that_cannot_be_read_is_answered_after_the_requests_before_it(target):
    refused: list[tuple] = []
    transport = Server(EchoApp(), on_refused=lambda *answer: refused.append(answer)).connect()
    transport.receive(GET + b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await settled()
    assert (statuses(transport), error_code(transport)) == ([200, 400], "invalid_http")
    assert refused == [("HTTP", 400, "invalid_http")]
    await asyncio.sleep(LINGER_S + 1)
    assert transport.is_closing()


@in_virtual_time
async def test_a_body_that_breaks_while_its_request_waits_is_refused_as_the_application_never_sees_it():
    app, refused = EchoApp(), []
    transport = Server(app, on_refused=lambda *answer: refused.append(answer)).connect()
    app.open.clear()
    transport.receive(GET + BROKEN)
    app.open.set()
    await settled()
    assert (statuses(transport), error_code(transport)) == ([200, 400], "invalid_http")
    assert (app.requests, refused) == (["/one"], [("HTTP", 400, "invalid_http")])
    await asyncio.sleep(LINGER_S + 1)
    assert transport.is_closing()


@in_virtual_time
async def test_a_body_that_breaks_after_the_answer_to_its_request_gets_no_second_one():
    refused: list[tuple] = []
    app = EchoApp(reads_bodies=False)
    transport = Server(app, on_refused=lambda *answer: refused.append(answer)).connect()
    transport.receive(BROKEN[:-4])
    await settled()
    transport.receive(BROKEN[-4:] + GET)
    assert (statuses(transport), app.requests, refused) == ([200], ["/two"], [])
    assert transport.is_eof_written
    await asyncio.sleep(LINGER_S + 1)
    assert transport.is_closing()


@in_virtual_time
async def test_what_is_no_http_after_an_early_answer_and_the_rest_of_its_body_is_answered():
    refused: list[tuple] = []
    transport = Server(EchoApp(reads_bodies=False), on_refused=lambda *answer: refused.append(answer)).connect()
    transport.receive(POST)
    await settled()
    transport.receive(b"bodynonsense\r\n\r\n")
    assert (statuses(transport), refused) == ([200, 400], [("HTTP", 400, "invalid_http")])
    await asyncio.sleep(LINGER_S + 1)


@in_virtual_time
async def test_no_more_requests_are_read_than_may_wait():
    app = EchoApp()
    transport = Server(app).connect()
    app.open.clear()
    transport.receive(GET * 1000)
    await settled()
    assert transport.is_reading_paused
    assert MAX_PIPELINED <= len(transport.protocol.pipeline) <= MAX_PIPELINED + FEED_BYTES // len(GET)
    app.open.set()
    await settled()
    assert statuses(transport) == [200] * 1000
    assert not transport.is_reading_paused
    assert len(transport.protocol.pipeline) < MAX_PIPELINED
    transport.abort()


@in_virtual_time
async def test_the_body_of_a_request_whose_upgrade_is_declined_is_read():
    transport = Server(EchoApp()).connect()
    transport.receive(POST[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nbody" + GET)
    await settled()
    assert statuses(transport) == [200, 200]
    assert b"\r\n\r\nbodyHTTP" in transport.written
    transport.abort()


@in_virtual_time
async def test_a_connection_may_be_evicted_while_the_server_waits_for_its_client():
    app = EchoApp()
    transport = Server(app).connect()
    app.open.clear()
    ranks = [transport.protocol.eviction_rank]
    transport.receive(POST)
    ranks.append(transport.protocol.eviction_rank)
    transport.receive(b"body")
    ranks.append(transport.protocol.eviction_rank)
    app.open.set()
    await settled()
    ranks.append(transport.protocol.eviction_rank)
    transport.protocol.evict()
    ranks.append(transport.protocol.eviction_rank)
    assert ranks == [EvictionRank.IDLE, EvictionRank.WAITING, None, EvictionRank.IDLE, EvictionRank.CLOSING]


@in_virtual_time
async def test_a_connection_beyond_the_limit_evicts_another():
    server = Server(EchoApp(), max_connections=2)
    connections = []
    for _ in range(3):
        connections.append(server.connect())
        await asyncio.sleep(1)
    assert [each.is_aborted for each in connections] == [True, False, False]


@in_virtual_time
async def test_a_client_that_goes_on_sending_after_its_answer_is_cut_off():
    transport = Server(EchoApp(reads_bodies=False)).connect()
    transport.receive(b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    await settled()
    assert statuses(transport) == [200]
    transport.receive(b"more")
    await asyncio.sleep(LINGER_S - 1)
    assert not transport.is_aborted
    await asyncio.sleep(2)
    assert transport.is_aborted
