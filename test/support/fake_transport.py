"""A transport without a network, for tests that drive a protocol directly."""

import asyncio
from typing import Any


class _NoSocket:
    """The socket of a connection that has none."""

    def fileno(self) -> int:
        raise OSError("no socket")

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 8000)

    getpeername = getsockname


class FakeTransport(asyncio.Transport):
    """Records what a protocol does to its connection."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_reading_paused = False
        self.is_eof_written = False
        self.is_aborted = False
        self.unread_bytes = 0
        """What `get_write_buffer_size` returns."""
        self.protocol: Any = None
        """The protocol that gets what the client sends; any, so that a test may look into it."""
        self._is_closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _NoSocket() if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def receive(self, data: bytes) -> None:
        """Pass on what the client sends."""
        self.protocol.data_received(data)

    def write(self, data: Any) -> None:
        if self.is_eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")  # as asyncio's transports do
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    def write_eof(self) -> None:
        self.is_eof_written = True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self.is_aborted = True
        self.close()
