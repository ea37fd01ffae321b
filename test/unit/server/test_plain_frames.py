"""Messages of one short frame, as websockets' parser reads them (src.server.plain_frames)."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from src.server.plain_frames import MAX_BYTES, plain_message

MESSAGES = st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=300))
FRAMES = st.builds(
    lambda opcode, data, fin, mask: Frame(opcode, data, fin=fin or opcode >= Opcode.CLOSE).serialize(mask=mask),
    st.sampled_from([Opcode.CONT, Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]),
    st.binary(max_size=120),
    st.booleans(),
    st.booleans(),
)


def framed(opcode: Opcode, data: bytes) -> bytes:
    return Frame(opcode, data).serialize(mask=True)


def parsed(data: bytes) -> tuple[list[Frame], int]:
    """Return the frames that websockets reads, and how many bytes it has left."""
    server = Protocol(Side.SERVER, state=OPEN)
    server.receive_data(data)
    frames: list[Any] = server.events_received()
    return frames, len(server.reader.buffer)


@given(st.lists(MESSAGES, max_size=5), st.binary(max_size=3))
def test_whole_messages_are_read_one_after_the_other(messages, start):
    data = start + b"".join(framed(*message) for message in messages)
    at, found = len(start), []
    while message := plain_message(data, at):
        found.append((Opcode.TEXT if message.is_text else Opcode.BINARY, message.payload))
        at = message.end
    assert found == messages
    assert at == len(data)


@pytest.mark.parametrize("size", [0, 125, 126, 127, 256, MAX_BYTES])
def test_messages_of_each_form_of_length_are_read(size):
    data = bytes(range(256)) * 256
    message = plain_message(framed(Opcode.BINARY, data[:size]))
    assert message is not None
    assert message.payload == data[:size]
    assert not plain_message(framed(Opcode.BINARY, data[: MAX_BYTES + 1]))


@given(st.binary(max_size=20) | FRAMES | st.tuples(FRAMES, st.integers(0, 130)).map(lambda cut: cut[0][: cut[1]]))
@example(b"\x81\xfe\x00\x01abcd?")  # a length that would fit into one byte
@example(b"\x81\x05abcde")  # not masked
@example(b"\xc1\x85abcdabcde")  # a reserved bit
@example(b"\x83\x85abcdabcde")  # no such opcode
def test_whatever_is_read_is_what_websockets_reads(data):
    message = plain_message(data)
    if message:
        (frame, *_), _ = parsed(data[: message.end])
        assert (frame.opcode is Opcode.TEXT, frame.data, frame.fin) == (message.is_text, message.payload, True)
        assert parsed(data[: message.end])[1] == 0
