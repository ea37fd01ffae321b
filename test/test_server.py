"""Clients that do not mean well: each is ended within its time and its memory, and others are served meanwhile."""

import json
import socket
import threading
from contextlib import contextmanager, suppress

import httpx
import pytest
from conftest import serving, until
from fakes import HeldModel, clip
from websockets.sync.client import connect

import src.scheduling.scheduler
import src.server
from src.settings import Settings

PCM = (clip(7) * 32767).astype("<i2").tobytes()
POST = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Type: audio/pcm\r\n"
HASTE_S = 0.3


@contextmanager
def served(tmp_path, model=None, *, head_s=HASTE_S, most_connections=1000, **settings):
    """The service, which waits for nobody for longer than `HASTE_S`."""
    given = {"log_dir": tmp_path, "max_queue_wait_s": 60, "upload_timeout_s": HASTE_S} | settings
    options = {"head_s": head_s, "most_connections": most_connections}
    with serving(Settings(model_id="tiny", **given), lambda _: model or HeldModel(held=False), **options) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with served(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture
def _hasty(monkeypatch):
    """No patience where it cannot be set."""
    for name in ("LINGER_S", "UNREAD_S"):
        monkeypatch.setattr(src.server, name, HASTE_S)


def opened(service, sent=b"", receive_bytes=None):
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", service.port))
    connection.sendall(sent)
    return connection


def answered(connection):
    """All that a server says until it closes."""
    told = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            told += piece
    return told


def answer(connection):
    """The first answer that a server gives."""
    told = b""
    while b"\r\n\r\n" not in told or not told.endswith(b"}"):
        piece = connection.recv(65_536)
        assert piece
        told += piece
    return told


def error_in(told):
    """Status and code of one answer."""
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def send_until_cut(connection, sent):
    """Send the same for ever; the test's time limit bounds it."""
    with suppress(ConnectionResetError, BrokenPipeError):
        while True:
            connection.sendall(sent)


def is_served(service):
    """Whether a client that comes now gets its text."""
    url = f"http://127.0.0.1:{service.port}/v1/audio/transcriptions"
    return httpx.post(url, content=PCM, headers={"content-type": "audio/pcm"}, timeout=60).json()["text"] == "7"


def test_a_connection_on_which_nothing_comes_is_closed(service):
    with opened(service) as idle:
        assert is_served(service)
        assert answered(idle) == b""


@pytest.mark.parametrize("sent", [b"P", b"POST /v1/audio/tr", POST, b"\r\n", POST + b"X: "])
def test_a_head_that_does_not_come_to_its_end_is_answered_408(service, sent):
    with opened(service, sent) as slow:
        assert error_in(answered(slow)) == (408, "request_timeout")
    assert is_served(service)


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
        told = answered(connection)
    assert told == b"" or error_in(told) == (431, "headers_too_large")
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
    until(lambda: service.scheduler.under_way == 0)
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


def test_requests_in_a_row_are_answered_in_order_and_a_flood_of_them_is_cut(service):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with opened(service, request * 9 + request.replace(b"Host: x", b"Connection: close")) as connection:
        assert answered(connection).count(b"HTTP/1.1 200 OK") == 10
    with opened(service) as flood:
        send_until_cut(flood, request * 100)
    assert is_served(service)


def test_a_client_that_closes_its_half_has_left(service):
    with opened(service, POST + b"Content-Length: 1000\r\n\r\na") as half_closed:
        until(lambda: service.scheduler.under_way == 1)
        half_closed.shutdown(socket.SHUT_WR)
        assert answered(half_closed) == b""
    until(lambda: service.scheduler.under_way == 0)
    assert is_served(service)


def test_idle_connections_make_room_for_others(tmp_path):
    with served(tmp_path, head_s=60, most_connections=20) as service:
        crowd = [opened(service) for _ in range(100)]
        assert is_served(service)
        assert len(service.server.server_state.connections) <= 21
        for each in crowd:
            each.close()


def test_slow_uploads_give_their_places_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(src.scheduling.scheduler, "SLOW_UPLOAD_S", 0.0)
    places = {"queue_max_factor": 1, "microbatch_max_batch": 4, "upload_timeout_s": 60}
    with served(tmp_path, **places) as service:
        slow = [opened(service, POST + b"Content-Length: 1000\r\n\r\na") for _ in range(4)]
        until(lambda: service.scheduler.under_way == 4)
        assert is_served(service)
        assert error_in(answer(slow[0])) == (408, "upload_timeout")
        for each in slow:
            each.close()


def test_uploads_do_not_fill_the_memory(tmp_path):
    model = HeldModel()
    with served(tmp_path, model, max_upload_mb=1, max_uploads_mb=1) as service:
        with opened(service, POST + b"Content-Length: %d\r\n\r\n" % len(PCM * 28) + PCM * 28):
            until(lambda: service.scheduler.under_way == 1 and service.scheduler.on_their_way == 0)
            refused = service.post(PCM * 28, "audio/pcm")
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "queue_full"
            assert int(refused.headers["retry-after"]) >= 1
        until(lambda: service.scheduler.under_way == 0)
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
