"""Ports for services in processes of their own."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """Give a port of the loopback interface that nobody else is given before the block ends.

    The port stays bound here, without listening, so that the system chooses it for no other socket. A server with
    SO_REUSEADDR, as every server of the tests has, may bind it too and listen (socket(7)). A port that is let go of
    instead may be another connection's by the time that a service has started.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
