"""A transport without a network, for protocols that are driven by hand."""

import asyncio
import socket
from typing import Any


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
        self.protocol: asyncio.BaseProtocol | None = None
        """What the connection was handed over to."""
        self._is_closing = False
        self._socket = socket.socket()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
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
        self._socket.close()

    def abort(self) -> None:
        self.is_aborted = True
        self.close()
