"""Clients that are slow, broken or hostile: each is ended in its time and memory, and others are served meanwhile."""

import asyncio
import json
import re
import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from fakes import HeldModel, clip
from keys import KEY
from running_service import serving, until
from uvicorn.server import ServerState
from websockets.sync.client import connect

from src.memory.budget import Budget
from src.metrics.log import metrics_path
from src.server import http_protocol, slow_reader, websocket_protocol
from src.server.server import server_config
from src.settings import Settings

PCM = (clip(7) * 32767).astype("<i2").tobytes()
POST = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Type: audio/pcm\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(PCM)
HASTE_S = 1.0


FEW_SLOTS = {"queue_max_factor": 1, "microbatch_max_batch": 4, "upload_timeout_s": 60}


@contextmanager
def served(tmp_path, model=None, *, head_s=HASTE_S, max_connections=1000, **settings):
    """The service, with time limits of `HASTE_S`."""
    given = {"log_dir": tmp_path, "max_queue_wait_s": 60, "upload_timeout_s": HASTE_S} | settings
    options = {"head_s": head_s, "max_connections": max_connections}
    with serving(Settings(model_id="tiny", **given), lambda _: model or HeldModel(held=False), **options) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with served(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture
def _hasty(monkeypatch):
    """Short time limits where they are no settings."""
    monkeypatch.setattr(http_protocol, "LINGER_S", HASTE_S)
    monkeypatch.setattr(websocket_protocol, "LINGER_S", HASTE_S)
    monkeypatch.setattr(slow_reader, "UNREAD_S", HASTE_S)


def opened(service, sent=b"", receive_bytes=None):
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(300)
    connection.connect(("127.0.0.1", service.port))
    connection.sendall(sent)
    return connection


def answered(connection):
    """Return all that the server sends until it closes."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def answer(connection):
    """Return the first response of the server."""
    received = b""
    while b"\r\n\r\n" not in received or not received.endswith(b"}"):
        piece = connection.recv(65_536)
        assert piece
        received += piece
    return received


def error_in(received):
    """Return status and error code of one response."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def statuses_in(received):
    """Return the statuses of consecutive responses."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", received)]


def send_until_cut(connection, sent):
    """Send the same data until the connection is cut; the test's time limit bounds it."""
    with suppress(ConnectionResetError, BrokenPipeError):
        while True:
            connection.sendall(sent)


def is_served(service):
    """Whether a new client gets its text."""
    url = f"http://127.0.0.1:{service.port}/v1/audio/transcriptions"
    return httpx.post(url, content=PCM, headers={"content-type": "audio/pcm"}, timeout=300).json()["text"] == "7"


def test_a_connection_on_which_nothing_comes_is_closed(service):
    with opened(service) as idle:
        assert is_served(service)
        assert answered(idle) == b""


@pytest.mark.parametrize("sent", [b"P", b"POST /v1/audio/tr", POST, b"\r\n", POST + b"X: "])
def test_a_head_that_does_not_come_to_its_end_is_answered_408(service, sent):
    with opened(service, sent) as slow:
        assert error_in(answered(slow)) == (408, "request_timeout")
    assert is_served(service)


def test_whatever_is_refused_has_a_line_in_the_metrics_whoever_refuses_it(tmp_path):
    """Broken HTTP, slow heads, broken bodies; handshakes that are broken, wrong, for no route or without a key."""
    upgrade = UPGRADES["websocket"] + b"\r\n"
    key = b"api-key: " + KEY.encode() + b"\r\n"
    broken = b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n"
    refused = [
        (b"nonsense\r\n\r\n", 400, "invalid_http"),
        (POST, 408, "request_timeout"),
        (b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n" + upgrade, 401, "invalid_api_key"),
        (b"GET /v1/none HTTP/1.1\r\nHost: x\r\n" + key + upgrade, 404, "not_found"),
        (b"GET /v1/realtime?sample_rate=1 HTTP/1.1\r\nHost: x\r\n" + key + upgrade, 400, "invalid_value"),
        (b"GET " + HANDSHAKE + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
        (POST + key + broken, 400, "invalid_http"),
    ]
    with served(tmp_path, api_keys=KEY) as service:
        for sent, status, code in refused:
            with opened(service, sent) as connection:
                assert error_in(answered(connection)) == (status, code)
    lines = [json.loads(line) for line in metrics_path(tmp_path).read_text().splitlines()]
    assert [(line["code"], line["error"]) for line in lines] == [(status, code) for _, status, code in refused]
    assert all(line["request_id"] for line in lines)


def test_a_second_request_on_a_connection_has_no_more_time_for_its_head(service):
    with opened(service, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /healthz HT")
        assert error_in(answered(connection)) == (408, "request_timeout")


@pytest.mark.parametrize("header", [b"X: " + b"a" * 400_000, b"a:\r\n" * 100_000, b"Cookie: b\r\n" * 50_000])
def test_a_head_that_is_too_large_is_answered_431(service, header):
    with opened(service) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(POST + header)
        received = answered(connection)
    assert received == b"" or error_in(received) == (431, "headers_too_large")
    assert is_served(service)


def test_what_is_no_http_is_answered_400_in_the_form_of_all_errors(service):
    with opened(service, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n") as connection:
        assert error_in(answered(connection)) == (400, "invalid_http")


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 1000\r\n\r\n",
        POST + b"Content-Length: 1000\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_a_body_that_stops_to_come_is_answered_408_and_its_place_is_free(service, sent):
    with opened(service, sent) as slow:
        assert error_in(answer(slow)) == (408, "upload_timeout")
    until(lambda: service.scheduler.admitted == 0)
    assert is_served(service)


def test_a_body_that_trickles_has_an_end_too(service):
    with opened(service, POST + b"Content-Length: 1000000\r\n\r\n") as slow:
        ended = threading.Event()

        def trickle():
            while not ended.wait(HASTE_S / 10):  # never a pause long enough to be one
                try:
                    slow.sendall(b"a")
                except OSError:
                    return

        trickling = threading.Thread(target=trickle)
        trickling.start()
        assert error_in(answer(slow)) == (408, "upload_timeout")
        ended.set()
        trickling.join()


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("path", [b"/v1/audio/transcriptions", b"/no/such/route"])
def test_a_body_without_end_is_refused_and_then_cut(tmp_path, path):
    with served(tmp_path, max_upload_mb=1) as service, opened(service) as endless:
        endless.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        send_until_cut(endless, chunk)
        assert is_served(service)


def test_a_client_that_sends_all_of_a_body_that_is_too_large_reads_413(tmp_path):
    with served(tmp_path, max_upload_mb=1, upload_timeout_s=30) as service:
        answer = service.post(b"a" * 20_000_000, "audio/pcm")
        assert answer.json()["error"]["code"] == "upload_too_large"
        assert is_served(service)


@pytest.mark.usefixtures("_hasty")
def test_a_client_that_takes_no_answer_is_cut(tmp_path):
    with served(tmp_path) as service, opened(service, receive_bytes=4096) as deaf:
        state = service.server.server_state
        until(lambda: any(each.client == deaf.getsockname() for each in state.connections))
        (its,) = [each for each in state.connections if each.client == deaf.getsockname()]
        with suppress(ConnectionResetError, BrokenPipeError):
            while its in state.connections:
                answered_so_far = state.total_requests
                deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
                until(lambda before=answered_so_far: state.total_requests > before or its not in state.connections)
        assert is_served(service)


def test_a_client_that_takes_a_large_answer_slowly_but_steadily_gets_it_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(slow_reader, "UNREAD_S", 1.0)
    with served(tmp_path, head_s=60) as service:
        whole = service.http.get("/openapi.json").content
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n"
        row = (request + b"\r\n") * 40 + request + b"Connection: close\r\n\r\n"
        with opened(service, row, receive_bytes=4096) as slow:
            began, received = time.monotonic(), b""
            while piece := slow.recv(20_000):
                received += piece
                if time.monotonic() < began + 3 * slow_reader.UNREAD_S:
                    time.sleep(0.01)
        assert received.count(whole) == 41


@pytest.mark.parametrize("count", [10, 20, 200, 3000])
def test_each_of_the_requests_that_come_in_a_row_is_answered_once_and_in_order(service, count):
    known, unknown = (b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" for path in (b"healthz", b"no"))
    row = (known + unknown) * (count // 2 - 1) + known + known.replace(b"Host: x", b"Connection: close")
    with opened(service, row) as connection:
        received = answered(connection)
    assert statuses_in(received) == [200, 404] * (count // 2 - 1) + [200, 200]


@pytest.mark.parametrize("framing", ["declared", "chunked"])
@pytest.mark.parametrize("seconds", [0.1, 30])
def test_requests_behind_a_body_are_answered_after_it_and_the_body_is_whole(service, framing, seconds):
    body = np.resize(np.frombuffer(PCM, "<i2"), round(seconds * 16_000))
    body[-1] = np.frombuffer(PCM, "<i2")[-1]  # by which the model says what it heard
    sent = body.tobytes()
    if framing == "declared":
        request = POST + b"Content-Length: %d\r\n\r\n" % len(sent) + sent
    else:
        chunks = (sent[at : at + 5000] for at in range(0, len(sent), 5000))
        request = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        request += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with opened(service, request * 3 + last) as connection:
        received = answered(connection)
    assert statuses_in(received) == [200] * 4
    assert re.findall(rb'"text":"(\w+)".*?"seconds":(\d+)', received) == [(b"7", b"%d" % max(1, seconds))] * 3


@pytest.mark.usefixtures("_hasty")
def test_a_flood_of_requests_whose_answers_nobody_takes_is_cut(tmp_path):
    with served(tmp_path) as service, opened(service) as flood:
        send_until_cut(flood, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert is_served(service)


def test_a_client_that_closes_its_half_has_left(service):
    with opened(service, POST + b"Content-Length: 1000\r\n\r\na") as half_closed:
        until(lambda: service.scheduler.admitted == 1)
        half_closed.shutdown(socket.SHUT_WR)
        assert answered(half_closed) == b""
    until(lambda: service.scheduler.admitted == 0)
    assert is_served(service)


def test_idle_connections_make_room_for_others(tmp_path):
    with served(tmp_path, head_s=60, max_connections=20) as service:
        crowd = [opened(service) for _ in range(100)]
        assert is_served(service)
        assert len(service.server.server_state.connections) <= 21
        for each in crowd:
            each.close()


def test_slow_uploads_give_their_places_to_others(tmp_path):
    with served(tmp_path, **FEW_SLOTS) as service:
        slow = [opened(service, POST + b"Content-Length: 1000\r\n\r\na") for _ in range(4)]
        until(lambda: service.scheduler.admitted == 4)
        assert is_served(service)
        assert error_in(answer(slow[0])) == (408, "upload_timeout")
        for each in slow:
            each.close()


@pytest.mark.parametrize("begun", [b"", b"a"])
def test_heads_that_are_begun_anew_and_anew_keep_nobody_out(tmp_path, begun):
    head = POST + b"Content-Length: 1000000\r\n\r\n" + begun
    with served(tmp_path, **FEW_SLOTS) as service:
        crowd = [opened(service, head) for _ in range(12)]
        for _ in range(10):
            crowd.pop(0).close()
            crowd.append(opened(service, head))
            assert is_served(service)
        for each in crowd:
            each.close()


def test_places_of_requests_whose_body_is_here_are_nobody_elses(tmp_path):
    model = HeldModel()
    with served(tmp_path, model, lanes=1, **FEW_SLOTS) as service:
        request = POST + LENGTH + b"\r\n" + PCM
        running = opened(service, request)
        until(model.started.acquire)  # the one that runs has given its place back
        here = [opened(service, request) for _ in range(4)]
        until(lambda: service.scheduler.waiting == 4)
        with opened(service, POST + b"Content-Length: 1000\r\n\r\n") as refused:
            assert error_in(answer(refused)) == (429, "queue_full")
        model.release_all()
        for each in [running, *here]:
            assert b'"text":"7"' in answer(each)
            each.close()


def test_uploads_that_have_stalled_give_up_their_memory(tmp_path):
    """Where all but the last bytes of large bodies have come, so that little is sent to keep much."""
    stalled_bytes = 900_000
    with served(tmp_path, max_upload_mb=1, max_uploads_mb=2, upload_timeout_s=60) as service:
        head = POST + b"Content-Length: 1000000\r\n\r\n"
        stalled = [opened(service, head + bytes(stalled_bytes)) for _ in range(2)]
        bodies = service.services.body_reader
        until(lambda: bodies.total_bytes == 2 * stalled_bytes)
        # The clock goes on: as long as they have just come, they have as good a right as any other.
        until(lambda: service.post(PCM * 28, "audio/pcm").status_code == 200)
        (ended, *_), _, _ = select.select(stalled, [], [], 30)
        assert error_in(answer(ended)) == (408, "upload_timeout")
        for each in stalled:
            each.close()


def test_uploads_do_not_fill_the_memory(tmp_path):
    model = HeldModel()
    with served(tmp_path, model, max_upload_mb=1, max_uploads_mb=1) as service:
        with opened(service, POST + b"Content-Length: %d\r\n\r\n" % len(PCM * 28) + PCM * 28):
            until(lambda: service.scheduler.admitted == 1 and service.scheduler.preparing == 0)
            refused = service.post(PCM * 28, "audio/pcm")
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "queue_full"
            assert int(refused.headers["retry-after"]) >= 1
        until(lambda: service.scheduler.admitted == 0)
        model.release_all()
        assert service.post(PCM * 28, "audio/pcm").status_code == 200


def test_a_json_body_of_countless_values_is_refused_before_it_becomes_large(service):
    refused = service.post(b'{"input_audio": {"data": ""}, "x": [' + b"[]," * 1_000_000 + b"0]}", "application/json")
    assert refused.status_code == 400
    assert "50000 values" in refused.json()["error"]["message"]


def test_a_message_in_a_hundred_thousand_fragments_is_one_message(service):
    with connect(f"ws://127.0.0.1:{service.port}/v1/realtime") as client:
        client.recv()
        client.send(json.dumps({"type": "no such event"}).ljust(100_000)[at] for at in range(100_000))
        assert json.loads(client.recv())["error"]["code"] == "invalid_value"
    assert is_served(service)


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "TLS": b"Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
    "several": b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c, HTTP/2.0\r\nUpgrade: IRC/6.9\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
}
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def chunked(body, size):
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (LENGTH, PCM),
        (b"Transfer-Encoding: chunked\r\n", chunked(PCM, 5000)),
        (b"Expect: 100-continue\r\n" + LENGTH, PCM),
    ],
    ids=["length", "chunked", "expect"],
)
@pytest.mark.parametrize("piece_bytes", [1 << 20, 1000])
def test_the_body_of_a_request_whose_upgrade_is_declined_is_read(service, upgrade, framing, body, piece_bytes):
    sent = (POST + upgrade + framing + b"\r\n" + body) * 2 + LAST
    with opened(service) as connection:
        for at in range(0, len(sent), piece_bytes):
            connection.sendall(sent[at : at + piece_bytes])
        received = answered(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b'{"text":"7"') == 2


def test_what_frames_the_body_of_a_declined_upgrade_is_its_own_head(service):
    """What is a second request to another reader of the same bytes is here what it says it is: a body."""
    hidden = b"GET /no/such/route HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + UPGRADES["h2c"]
    with opened(service, head + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden + LAST) as connection:
        received = answered(connection)
    assert statuses_in(received) == [405, 200]
    both = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with opened(service, head + both + LAST) as connection:
        assert error_in(answered(connection)) == (400, "invalid_http")


def test_connect_is_refused(service):
    with opened(service, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n") as connection:
        assert error_in(answered(connection)) == (405, "method_not_allowed")


HANDSHAKE = b"/v1/realtime HTTP/1.1\r\nHost: x\r\n" + UPGRADES["websocket"]
BROKEN_HANDSHAKES = {
    "post": (b"POST " + HANDSHAKE + b"Content-Length: 2\r\n\r\nab", 405, "method_not_allowed"),
    "body": (b"GET " + HANDSHAKE + b"Content-Length: 2\r\n\r\nab", 426, "upgrade_required"),
    "announced": (b"GET " + HANDSHAKE + b"Content-Length: 2\r\n\r\n", 426, "upgrade_required"),
    "chunks": (b"GET " + HANDSHAKE + b"Transfer-Encoding: chunked\r\n\r\n", 426, "upgrade_required"),
    "headers": (b"GET " + HANDSHAKE + b"X: y\r\n" * 129 + b"\r\n", 431, "headers_too_large"),
    "line": (b"GET " + HANDSHAKE + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
    "url": (b"GET " + HANDSHAKE.replace(b"time", b"time?" + b"y" * 9000) + b"\r\n", 414, "headers_too_large"),
    "key": (b"GET " + HANDSHAKE.replace(b"A==", b"A=") + b"\r\n", 400, "invalid_handshake"),
    "version": (b"GET " + HANDSHAKE.replace(b"13", b"12") + b"\r\n", 400, "invalid_handshake"),
    "old": (b"GET " + HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", 426, "upgrade_required"),
    "frames": (b"GET " + HANDSHAKE + b"X: y\r\n" * 129 + b"\r\n\x81\x80", 431, "headers_too_large"),
    "tokens": (b"GET " + HANDSHAKE.replace(b"Upgrade\r", b"Upgrade, ;\r") + b"\r\n", 400, "invalid_handshake"),
}


@pytest.mark.parametrize(("sent", "status", "code"), BROKEN_HANDSHAKES.values(), ids=BROKEN_HANDSHAKES)
@pytest.mark.usefixtures("_hasty")
def test_a_broken_handshake_is_answered_logged_and_closed(service, caplog, sent, status, code):
    caplog.set_level("INFO", "src.access")
    with opened(service, sent) as connection:
        assert error_in(answered(connection)) == (status, code)
    until(lambda: not service.server.server_state.connections)
    assert any(str(status) in line for line in caplog.messages)
    assert is_served(service)


@pytest.mark.parametrize("rest", [b"xyz\r\n", b"fffffffffffffffff\r\n", b"5;\x00\r\n", b"5\r\nabcdefgh\r\n"])
def test_a_broken_chunk_is_answered_once(tmp_path, rest):
    broken = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n" + rest
    with served(tmp_path, upload_timeout_s=60) as service:
        with opened(service, broken + b"a" * 1_000_000) as connection:
            assert error_in(answered(connection)) == (400, "invalid_http")
        with opened(service, LAST.replace(b"Connection: close", b"X: y") * 3 + broken) as connection:
            received = answered(connection)
        assert statuses_in(received) == [200, 200, 200, 400]
        until(lambda: service.scheduler.admitted == 0)


def test_what_is_no_http_waits_for_the_answers_to_the_requests_before_it(tmp_path):
    model = HeldModel()
    with served(tmp_path, model, upload_timeout_s=60) as service:
        request = POST + LENGTH + b"\r\n" + PCM
        with opened(service, request + request + b"?\r\n\r\n") as connection:
            until(lambda: service.scheduler.admitted == 1)
            model.release_all()
            received = answered(connection)
        assert statuses_in(received) == [200, 200, 400]


def test_a_handshake_waits_for_no_answer_to_a_request_before_it(service):
    with opened(service, POST + LENGTH + b"\r\n" + PCM + b"GET " + HANDSHAKE + b"\r\n") as connection:
        assert statuses_in(answered(connection)) == [200, 400]
    with opened(service, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET " + HANDSHAKE + b"\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 101")


async def test_a_handshake_that_the_application_does_not_answer_has_an_end():
    async def silent(scope, receive, send):
        await asyncio.Event().wait()

    config = server_config(silent, Budget(1 << 20), port=0, head_s=HASTE_S, lifespan="off")
    config.load()
    state = ServerState()
    protocol: Any = config.http_protocol_class
    make = partial(protocol, config=config, server_state=state, app_state={})
    async with await asyncio.get_running_loop().create_server(make, "127.0.0.1") as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET " + HANDSHAKE + b"\r\n")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    for task in state.tasks:
        task.cancel()


def test_an_upgrade_to_one_of_several_protocols_is_one_to_the_known(service):
    with opened(service, b"GET " + HANDSHAKE.replace(b": websocket", b": h2c, websocket") + b"\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 101")


def masked(opcode, data=b""):
    """A frame of a client (RFC 6455, 5.2), of less than 126 bytes; a mask of zeros changes nothing."""
    return bytes([0x80 | opcode, 0x80 | len(data), 0, 0, 0, 0]) + data


@pytest.mark.parametrize("piece_bytes", [1 << 20, 10])
def test_frames_that_do_not_wait_for_the_handshake_come_after_it(service, piece_bytes):
    sent = b"GET " + HANDSHAKE + b"\r\n" + masked(9, b"ping") + masked(1, b'{"type": "nonsense"}') + masked(8)
    with opened(service) as connection:
        for at in range(0, len(sent), piece_bytes):
            connection.sendall(sent[at : at + piece_bytes])
        received = answered(connection)
    assert received.startswith(b"HTTP/1.1 101")
    assert received.count(b"\x8a\x04ping") == 1
    assert received.endswith(b"\x88\x00")


STATES = {
    "silent": b"",
    "head": b"POST /v1/au",
    "body": POST + b"Content-Length: 1000\r\n\r\na",
    "body of another route": b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    "declined": POST + UPGRADES["h2c"] + b"Content-Length: 1000\r\n\r\n",
    "fields after a body": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\na: b",
    "unread body": b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na",
    "pipelined": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /he",
    "answered": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "closing": b"?\r\n\r\n",
    **{f"handshake: {name}": sent for name, (sent, *_) in BROKEN_HANDSHAKES.items()},
    "closing session": b"GET " + HANDSHAKE + b"\r\n" + masked(8),
}


@pytest.fixture(scope="module")
def patient_service(tmp_path_factory):
    """A service in which nothing ends by time, with room for 20 connections."""
    logs = tmp_path_factory.mktemp("logs")
    with served(logs, head_s=60, max_connections=20, upload_timeout_s=60) as running:
        yield running


@pytest.mark.parametrize("sent", STATES.values(), ids=STATES)
@pytest.mark.parametrize("half_closed", [False, True])
def test_a_crowd_in_any_state_lets_others_in(patient_service, sent, half_closed):
    crowd = []
    for _ in range(60):
        crowd.append(opened(patient_service))
        with suppress(OSError):
            crowd[-1].sendall(sent)
            if half_closed:
                crowd[-1].shutdown(socket.SHUT_WR)
    assert is_served(patient_service)
    assert len(patient_service.server.server_state.connections) <= 21
    for each in crowd:
        each.close()


@pytest.mark.parametrize("sent", STATES.values(), ids=STATES)
@pytest.mark.usefixtures("_hasty")
def test_a_connection_in_any_state_has_an_end(service, sent):
    with opened(service, sent) as connection:
        answered(connection)
        until(lambda: not service.server.server_state.connections)
    assert is_served(service)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_who_still_sends_a_refused_body_reads_its_answer_although_the_connection_is_closed(service, version):
    head = b"POST /no/such/route " + version + b"\r\nHost: x\r\nConnection: close\r\nContent-Length: 20000000\r\n\r\n"
    with opened(service) as connection:
        connection.sendall(head + bytes(20_000_000))
        assert error_in(answered(connection)) == (404, "not_found")
