"""A transport whose protocol decides how it closes (src.server.transport)."""

from fake_transport import FakeTransport

from src.server.transport import ProtocolTransport


def test_the_first_close_is_left_to_the_protocol():
    closed = []
    wrapped = FakeTransport()
    transport = ProtocolTransport(wrapped, closed.append)
    assert not transport.is_closing()
    transport.close()
    transport.close()
    assert closed == [wrapped]
    assert transport.is_closing()
    assert not wrapped.is_closing(), "that is up to the protocol"


def test_a_connection_that_is_lost_is_not_closed_again():
    closed = []
    wrapped = FakeTransport()
    transport = ProtocolTransport(wrapped, closed.append)
    wrapped.abort()
    transport.close()
    assert transport.is_closing()
    assert closed == []


def test_all_else_is_the_wrapped_transports():
    wrapped = FakeTransport()
    ProtocolTransport(wrapped, print).write(b"data")
    assert wrapped.written == b"data"
