"""WebSocket connections: handshake, fragments, memory (src.server.websocket_protocol)."""

import asyncio
from collections.abc import Sequence

import pytest
from fake_transport import FakeTransport
from hypothesis import given
from hypothesis import strategies as st
from server_harness import EchoApp, Server
from starlette.types import Receive, Scope, Send
from virtual_time import VirtualLoop, in_virtual_time, virtual_loop
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from src.api.direct_messages import take_messages
from src.server import websocket_protocol
from src.server.eviction import EvictionRank
from src.server.server import MAX_MESSAGE_BYTES
from src.server.transport import LINGER_S
from src.server.websocket_protocol import FEED_BYTES, MAX_WAITING, MAX_WAITING_BYTES, MESSAGE_PATIENCE_S, SLOW_MESSAGE_S

HEAD_S = 10.0
MEMORY_BYTES = 100_000


class Client:
    """A client of a server without a network; what it sends arrives at once."""

    def __init__(self, server: Server) -> None:
        self.transport: FakeTransport = server.connect()
        self._protocol = ClientProtocol(parse_uri("ws://x/one"))
        self._protocol.send_request(self._protocol.connect())
        self._read_bytes = 0
        self._send()

    def send(self, message: bytes, *, parts: int = 1, is_complete: bool = True) -> None:
        """Send a message in fragments, or only its beginning."""
        size = -(-len(message) // parts)
        for number in range(parts):
            is_last = is_complete and number == parts - 1
            send = self._protocol.send_continuation if number else self._protocol.send_binary
            send(message[number * size : (number + 1) * size], fin=is_last)
        self._send()

    async def received(self) -> list[bytes]:
        """Return the messages that have come since the last call."""
        await virtual_loop().settled()
        return [
            bytes(event.data) for event in self._events() if isinstance(event, Frame) and event.opcode is Opcode.BINARY
        ]

    async def close_code(self) -> int | None:
        """Return the code with which the server has closed the connection; None if it has not."""
        await virtual_loop().settled()
        self._events()
        return self._protocol.close_rcvd.code if self._protocol.close_rcvd else None

    def answer(self) -> None:
        """Send what the protocol itself answers, such as a close frame to that of the server."""
        self._send()

    async def status(self) -> int:
        """Return the status of the answer to the handshake."""
        await virtual_loop().settled()
        (response,) = (event for event in self._events() if isinstance(event, Response))
        return response.status_code

    def _send(self) -> None:
        for data in self._protocol.data_to_send():
            self.transport.receive(data)

    def _events(self) -> Sequence[object]:
        data = bytes(self.transport.written[self._read_bytes :])
        self._read_bytes += len(data)
        self._protocol.receive_data(data)
        return self._protocol.events_received()


@in_virtual_time
async def test_messages_reach_the_application_also_in_fragments():
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    client.send(b"whole")
    assert await client.received() == [b"whole"]
    client.send(b"in many parts", parts=13)
    assert await client.received() == [b"in many parts"]
    client.transport.abort()


@pytest.mark.parametrize(("count", "size"), [(MAX_WAITING, 0), (1, MAX_WAITING_BYTES)])
@in_virtual_time
async def test_reading_goes_on_until_several_messages_wait_for_the_application(count, size):
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    for _ in range(count):
        client.send(bytes(size))
    assert not client.transport.is_reading_paused
    client.send(b"x")
    assert client.transport.is_reading_paused
    assert await client.received() == [*[bytes(size)] * count, b"x"]
    assert not client.transport.is_reading_paused
    client.transport.abort()


FRAMES = st.builds(
    lambda opcode, data, fin, mask: Frame(opcode, data, fin=fin or opcode >= Opcode.CLOSE).serialize(mask=mask),
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE]),
    st.sampled_from([b"", b"words", b"\xff", b"\x03\xe8bye", bytes(125)]),
    st.sampled_from([True, True, False]),
    st.sampled_from([True, True, True, False]),
)


async def answered(data: bytes, sizes: list[int]) -> bytes:
    """Return what the server sends to a client after the handshake, whose data comes in pieces of these sizes."""
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    before = len(client.transport.written)
    while data:
        size = sizes.pop() if sizes else len(data)
        client.transport.receive(data[:size])
        data = data[size:]
    await virtual_loop().settled()
    client.transport.abort()
    return bytes(client.transport.written[before:])


@given(st.lists(FRAMES, max_size=6).map(b"".join), st.lists(st.integers(1, 40), max_size=5))
def test_the_short_way_for_plain_messages_changes_no_answer(data, sizes):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(answered(data, list(sizes)))
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        patch.setattr(websocket_protocol, "plain_message", lambda data, start: None)
        assert found == runner.run(answered(data, list(sizes)))


def fragments(message: bytes, parts: int) -> bytes:
    """Return the frames of a message in so many parts, with a ping after each."""
    size = max(1, -(-len(message) // parts))
    pieces = [message[start : start + size] for start in range(0, len(message), size)] or [b""]
    opcodes = [Opcode.BINARY, *[Opcode.CONT] * (len(pieces) - 1)]
    ping = Frame(Opcode.PING, b"").serialize(mask=True)
    frames = [Frame(opcode, piece, fin=False) for opcode, piece in zip(opcodes, pieces, strict=True)]
    frames[-1].fin = True
    return b"".join(frame.serialize(mask=True) + ping for frame in frames)


async def echoes(data: bytes) -> list[bytes]:
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    client.transport.receive(data)
    messages = await client.received()
    assert not client.transport.is_reading_paused
    client.transport.abort()
    return messages


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 4)), max_size=6), st.integers(1, 100))
def test_every_message_is_received_whatever_part_of_it_is_parsed_in_a_turn(messages, turn_bytes):
    data = b"".join(fragments(*each) for each in messages)
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        patch.setattr(websocket_protocol, "FEED_BYTES", turn_bytes)
        patch.setattr(websocket_protocol, "MAX_TURN_S", 0.0)
        assert runner.run(echoes(data)) == [message for message, _ in messages]


@in_virtual_time
async def test_a_flood_of_tiny_frames_leaves_others_their_turn(monkeypatch):
    monkeypatch.setattr(websocket_protocol, "MAX_TURN_S", 0.0)
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    before = len(client.transport.written)
    pings = Frame(Opcode.PING, b"").serialize(mask=True) * 40_000
    client.transport.receive(pings)
    pong_bytes = len(Frame(Opcode.PONG, b"").serialize(mask=False))
    assert 0 < len(client.transport.written) - before <= FEED_BYTES // 6 * pong_bytes
    assert client.transport.is_reading_paused
    await virtual_loop().settled()
    assert len(client.transport.written) - before == 40_000 * pong_bytes
    assert not client.transport.is_reading_paused
    client.transport.abort()


@in_virtual_time
async def test_messages_in_one_short_frame_take_the_short_way(monkeypatch):
    tried: list[bytes] = []
    monkeypatch.setattr(websocket_protocol, "plain_message", lambda data, start: tried.append(data))
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    for message in (b"one", bytes(70_000), b"two"):
        client.send(message)
        assert await client.received() == [message]
    assert len(tried) == 3
    client.transport.abort()


@pytest.mark.parametrize("size", [100, 300])
@pytest.mark.parametrize("head", [2, 4, 6, 8])
@in_virtual_time
async def test_a_payload_that_begins_like_a_frame_is_none_wherever_its_frame_is_cut(size, head):
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    payload = bytes([0x82, 0x80, 0, 0, 0, 0]).ljust(size, b"x")
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126, *size.to_bytes(2, "big")])
    frame = b"\x82" + length + bytes([0x82, 0x80, 0, 0])  # its mask looks like one, too
    frame += bytes(byte ^ b"\x82\x80\0\0"[at % 4] for at, byte in enumerate(payload))
    client.transport.receive(frame[:head])
    client.transport.receive(frame[head:])
    assert await client.received() == [payload]
    client.transport.receive(b"\x82\x80\0\0\0\0")
    assert await client.received() == [b""]
    client.transport.abort()


@in_virtual_time
async def test_text_that_is_not_utf_8_closes_the_connection():
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    client.send(b"before")
    client.transport.receive(Frame(Opcode.TEXT, b"\xff").serialize(mask=True))
    client.transport.receive(Frame(Opcode.BINARY, b"after").serialize(mask=True))
    assert await client.close_code() == 1007
    await asyncio.sleep(LINGER_S + 1)
    assert client.transport.is_aborted


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (Frame(Opcode.PING, b"?"), 1007),
        (Frame(Opcode.PONG, b"?"), 1007),
        (Frame(Opcode.BINARY, b"more"), 1007),
        (Frame(Opcode.CLOSE, b"\x03\xe8"), 1000),  # which the parser has answered before the text is read
    ],
    ids=lambda value: value.opcode.name if isinstance(value, Frame) else None,
)
@in_virtual_time
async def test_text_that_is_not_utf_8_closes_the_connection_whatever_comes_with_it(after, code):
    """In fragments, and so by websockets' own parser."""
    client = Client(Server(EchoApp()))
    assert await client.status() == 101
    frames = [Frame(Opcode.TEXT, b"a", fin=False), Frame(Opcode.CONT, b"\xff"), after]
    client.transport.receive(b"".join(frame.serialize(mask=True) for frame in frames))
    assert await client.close_code() == code
    await asyncio.sleep(LINGER_S + 1)
    assert client.transport.is_aborted


@in_virtual_time
async def test_what_comes_before_the_handshake_is_answered_waits_for_that():
    app = EchoApp()
    app.open.clear()
    client = Client(Server(app))
    client.transport.receive(b"\x82\x85\0\0\0\0early")  # a masked frame
    await virtual_loop().settled()
    assert client.transport.is_reading_paused
    assert client.transport.written == b""
    app.open.set()
    assert await client.status() == 101
    client.transport.abort()


@in_virtual_time
async def test_a_handshake_that_is_not_answered_in_time_ends_the_connection():
    app = EchoApp()
    app.open.clear()
    client = Client(Server(app, head_s=HEAD_S))
    await asyncio.sleep(HEAD_S - 1)
    assert not client.transport.is_aborted
    await asyncio.sleep(2)
    assert client.transport.is_aborted


@in_virtual_time
async def test_a_message_that_is_too_large_is_answered_with_the_reason():
    client = Client(Server(EchoApp(), memory_bytes=10 * MAX_MESSAGE_BYTES))
    await client.status()
    client.send(bytes(MAX_MESSAGE_BYTES + 1))
    assert await client.close_code() == 1009
    await asyncio.sleep(LINGER_S + 1)
    assert client.transport.is_aborted


@in_virtual_time
async def test_a_connection_may_be_evicted_before_and_after_its_session():
    app = EchoApp()
    app.open.clear()
    client = Client(Server(app))
    ranks = [client.transport.protocol.eviction_rank]
    app.open.set()
    await client.status()
    ranks.append(client.transport.protocol.eviction_rank)
    client.transport.protocol.evict()
    ranks.append(client.transport.protocol.eviction_rank)
    assert ranks == [EvictionRank.WAITING, None, EvictionRank.CLOSING]


async def closing_app(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that closes the connection after the first message."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await send({"type": "websocket.close", "code": 1001})


@pytest.mark.parametrize("answers", [True, False])
@in_virtual_time
async def test_a_server_that_stops_gives_clients_time_to_answer_its_close_frame(answers):
    client = Client(Server(closing_app))
    await client.status()
    client.send(b"one")
    assert await client.close_code() == 1001
    client.transport.protocol.shutdown()  # as uvicorn does with all connections
    await virtual_loop().settled()
    assert not client.transport.is_closing()
    if answers:
        client.answer()
    else:
        await asyncio.sleep(client.transport.protocol.close_timeout)
    await virtual_loop().settled()
    assert client.transport.is_closing()


async def three_of(server: Server) -> tuple[Client, Client, Client]:
    """Return three connected clients. The messages of two are incomplete, and together take more than the memory."""
    clients = Client(server), Client(server), Client(server)
    for client in clients:
        assert await client.status() == 101
    for client in clients[:2]:
        client.send(bytes(MEMORY_BYTES * 3 // 5), is_complete=False)
        await asyncio.sleep(0.01)  # so that the first is the oldest
    return clients


@in_virtual_time
async def test_a_message_waits_for_memory_and_reads_nothing_meanwhile():
    server = Server(EchoApp(), memory_bytes=MEMORY_BYTES)
    first, second, third = await three_of(server)
    third.send(bytes(MEMORY_BYTES // 4))
    assert await third.received() == []
    assert third.transport.is_reading_paused
    first.transport.protocol.connection_lost(None)
    await asyncio.sleep(0.1)
    assert [len(each) for each in await third.received()] == [MEMORY_BYTES // 4]
    assert not third.transport.is_reading_paused
    for client in (first, second, third):
        client.transport.abort()


@pytest.mark.parametrize("is_old", [True, False])
@in_virtual_time
async def test_memory_comes_from_the_oldest_incomplete_message_or_else_the_one_that_waits_gives_up(is_old):
    server = Server(EchoApp(), memory_bytes=MEMORY_BYTES)
    first, second, third = await three_of(server)
    await asyncio.sleep(SLOW_MESSAGE_S if is_old else 0.0)
    third.send(bytes(MEMORY_BYTES // 4))
    await asyncio.sleep(MESSAGE_PATIENCE_S + 0.1)
    codes = [await client.close_code() for client in (first, second, third)]
    assert codes == ([1013, None, None] if is_old else [None, None, 1013])
    for client in (first, second, third):
        client.transport.abort()


# Messages that the application takes as they come


class TakingApp(EchoApp):
    """Takes messages at once, as long as it may; others come to it by the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.may_take = True
        self.got: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        take_messages(scope, self._take)
        await self.open.wait()
        while (message := await receive())["type"] == "websocket.receive":
            self.got.append(("queued", message["text"].encode()))

    def _take(self, message: bytes) -> bool:
        if self.may_take:
            self.got.append(("taken", message))
        return self.may_take


def text_frames(*messages: bytes) -> bytes:
    return b"".join(Frame(Opcode.TEXT, message).serialize(mask=True) for message in messages)


@in_virtual_time
async def test_an_application_takes_short_messages_as_they_come_and_in_order():
    app = TakingApp()
    client = Client(Server(app))
    assert await client.status() == 101
    client.transport.receive(text_frames(b"one", b"two"))
    assert app.got == [("taken", b"one"), ("taken", b"two")], "before the event loop goes on"
    app.may_take = False
    client.transport.receive(text_frames(b"three"))
    app.may_take = True
    client.transport.receive(text_frames(b"four"))
    await virtual_loop().settled()
    client.transport.receive(text_frames(b"five"))
    assert app.got[2:] == [("queued", b"three"), ("queued", b"four"), ("taken", b"five")]


@in_virtual_time
async def test_it_takes_no_parts_of_messages_and_none_while_others_are_queued():
    app = TakingApp()
    app.open.clear()
    client = Client(Server(app))
    assert await client.status() == 101
    app.may_take = False
    client.transport.receive(text_frames(b"one"))
    app.may_take = True
    client.transport.receive(text_frames(b"two"))
    app.open.set()
    await virtual_loop().settled()
    frame = text_frames(b"three")
    client.transport.receive(frame[:4])
    client.transport.receive(frame[4:] + text_frames(b"four"))
    await virtual_loop().settled()
    assert app.got == [("queued", b"one"), ("queued", b"two"), ("queued", b"three"), ("queued", b"four")]


@in_virtual_time
async def test_what_is_taken_needs_no_memory_of_messages():
    app = TakingApp()
    client = Client(Server(app, memory_bytes=10))
    assert await client.status() == 101
    for _ in range(100):
        client.transport.receive(text_frames(bytes(1000)))
    assert len(app.got) == 100
