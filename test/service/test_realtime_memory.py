"""Realtime sessions stay within their memory, whatever clients send, and others are served meanwhile."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
from fakes import HeldModel
from media import pcm16
from realtime_client import Client, session
from running_service import Service, serving, until
from sdk_realtime import COMPLETED, FAILED
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from src.memory.plan import AUDIO_BYTES_PER_S, MIB
from src.settings import Settings

SESSIONS = 4


@contextmanager
def limited(tmp_path, model: HeldModel, audio_mb: float, **settings) -> Iterator[Service]:
    """Run a service of four sessions. Their audio gets a quarter of `audio_mb`. Their messages get an eighth while they
    arrive, and another eighth while they are parsed."""
    limits = {"max_sessions": SESSIONS, "max_queue_wait_s": 0.3} | settings
    with serving(
        Settings(model_id="tiny", log_dir=tmp_path, max_audio_mb=audio_mb, **limits), lambda _: model
    ) as service:
        try:
            yield service
        finally:
            model.release_all()


def audio(seconds: float) -> bytes:
    return pcm16(np.full(round(16_000 * seconds), 0.25, np.float32))


def clear(client: Client) -> None:
    client.send("input_audio_buffer.clear")
    client.until("input_audio_buffer.cleared")


def send_part(client: Client, size: int, part: int) -> None:
    """Send the first `part` bytes of a binary message of `size` bytes, and no more."""
    client.ws.socket.sendall(Frame(Opcode.BINARY, bytes(size)).serialize(mask=True)[:part])


def until_rejected(client: Client, piece: bytes) -> float:
    """Append until that is rejected. Return how many seconds were accepted."""
    accepted = 0
    while True:
        client.ws.send(piece)
        client.send("conversation.item.retrieve", item_id="none", event_id="next")
        errors = [client.until("error")[-1]["error"]]
        if errors[0]["event_id"] != "next":
            assert errors[0]["code"] == "queue_full"
            client.until("error")
            return accepted * len(piece) / 32_000
        accepted += 1


def test_a_session_that_hoards_audio_leaves_the_others_their_shares(tmp_path):
    """A hoarder takes all shared memory. The others still have their shares, and uploads have theirs."""
    room_s = 80.0
    for_all_s, share_s = room_s / 2, room_s / 2 / SESSIONS
    with (
        limited(
            tmp_path, HeldModel(held=False), 4 * room_s * AUDIO_BYTES_PER_S / MIB, realtime_partials=False
        ) as service,
        ExitStack() as stack,
    ):
        hoarder, *others = [stack.enter_context(session(service)) for _ in range(SESSIONS)]
        others[0].ws.send(audio(1))  # a session alone may hold any amount
        assert until_rejected(hoarder, audio(1)) == for_all_s + share_s
        assert [until_rejected(other, audio(1)) for other in others] == [share_s - 1, share_s, share_s]
        assert service.post(audio(10), "audio/pcm").status_code == 200
        clear(hoarder)
        assert until_rejected(others[0], audio(1)) == for_all_s, "what was cleared is free for others"


def test_committed_audio_counts_until_it_has_its_text_or_its_session_ends(tmp_path):
    room_s = 80.0
    for_all_s, share_s = room_s / 2, room_s / 2 / SESSIONS
    model = HeldModel()
    with (
        limited(tmp_path, model, 4 * room_s * AUDIO_BYTES_PER_S / MIB, realtime_partials=False) as service,
        session(service) as other,
    ):
        other.ws.send(audio(1))
        with session(service) as hoarder:
            for _ in range(5):
                hoarder.ws.send(audio((for_all_s + share_s) / 5))
                hoarder.commit()
            assert until_rejected(hoarder, audio(1)) == 0
            assert until_rejected(other, audio(1)) == share_s - 1
        until(lambda: len(service.sessions) == 1)
        with session(service) as third:
            third.ws.send(audio(1))
            assert until_rejected(other, audio(1)) == for_all_s
            other.commit()
            other.until("input_audio_buffer.committed")
            assert until_rejected(third, audio(1)) == share_s - 1
            model.release_all()
            assert other.until(COMPLETED, FAILED)[-1]["type"] == COMPLETED
            other.ws.send(audio(1))
            assert until_rejected(third, audio(1)) == for_all_s


@contextmanager
def hoarded(service: Service) -> Iterator[list[Client]]:
    """Open two sessions that have sent parts of messages: all that fits in memory, and more, as one session may."""
    with session(service) as first, session(service) as second:
        send_part(first, 8 * MIB, 5 * MIB - 10_000)
        memory = service.services.message_memory
        until(lambda: memory.reserved_bytes >= 5 * MIB - 11_000)
        send_part(second, 8 * MIB, 2 * MIB)
        until(lambda: memory.reserved_bytes >= 7 * MIB - 11_000)
        yield [first, second]
        for each in (first, second):
            with suppress(OSError):  # its connection has been closed for another one
                each.ws.socket.shutdown(socket.SHUT_RDWR)


def test_messages_that_do_not_end_are_within_a_budget(tmp_path, monkeypatch):
    """There are 8 MiB for messages, and each session is sure of one. A client without room is told to try again."""
    monkeypatch.setattr("src.server.websocket_protocol.MESSAGE_PATIENCE_S", 0.2)
    with limited(tmp_path, HeldModel(held=False), 64) as service, hoarded(service):
        with session(service) as other:
            with suppress(ConnectionClosed):
                other.ws.send(bytes(3 * MIB))
            assert other.close_code() == 1013
        with session(service) as other:
            other.ws.send(bytes(900_000))
            clear(other)
        assert service.http.get("/readyz").status_code == 200


def test_a_message_that_has_been_coming_for_long_gives_way(tmp_path, monkeypatch):
    monkeypatch.setattr("src.server.websocket_protocol.MESSAGE_PATIENCE_S", 0.2)
    monkeypatch.setattr("src.server.websocket_protocol.SLOW_MESSAGE_S", 0.0)
    with limited(tmp_path, HeldModel(held=False), 64) as service, hoarded(service) as hoarders:
        with session(service) as other:
            other.ws.send(bytes(3 * MIB))
            clear(other)
        assert hoarders[0].close_code() == 1013


def test_a_message_waits_for_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("src.server.websocket_protocol.MESSAGE_PATIENCE_S", 60)
    with limited(tmp_path, HeldModel(held=False), 64) as service, session(service) as other:
        with hoarded(service):
            sending = threading.Thread(target=other.ws.send, args=(bytes(3 * MIB),))
            sending.start()
            with session(service) as third:
                third.ws.send(bytes(900_000))
                clear(third)
        clear(other)
        sending.join()


def test_many_long_messages_at_once_are_read_as_there_is_memory_for_that(tmp_path):
    """Parsing one takes several times its size; here, all the memory there is."""
    with limited(tmp_path, HeldModel(held=False), 64, max_queue_wait_s=60) as service, ExitStack() as stack:
        clients = [stack.enter_context(session(service, "?sample_rate=48000")) for _ in range(SESSIONS)]
        text = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * (3 * MIB)})
        sending = [threading.Thread(target=client.ws.send, args=(text,)) for client in clients]
        for each in sending:
            each.start()
        for each in sending:
            each.join()
        for client in clients:
            clear(client)


def test_no_compression_is_agreed_on(service):
    """Frames of 20 kB would be messages of 22 MiB."""
    with connect(f"ws://127.0.0.1:{service.port}/v1/realtime", compression="deflate") as ws:
        assert ws.protocol.extensions == []
        assert json.loads(ws.recv())["type"] == "session.created"
