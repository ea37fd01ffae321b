"""A time limit for clients that do not read what is sent to them."""

import asyncio
import fcntl
import struct
import termios

UNREAD_S = 60.0
"""How long a client may read nothing while data waits for it."""
MIN_READ_BYTES_PER_S = 500.0
"""How fast it must read after that."""


class SlowReaderGuard:
    """Aborts a connection whose client reads too slowly. It looks at what was read, not at what is left to read.

    Args:
        transport: the connection.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._started_at = 0.0
        self._bytes_at_start = 0

    def start(self) -> None:
        """Watch the client from now on, unless it is watched already."""
        if self._timer is None:
            self._started_at, self._bytes_at_start = self._loop.time(), self._unread_bytes
            self._timer = self._loop.call_later(UNREAD_S, self._check)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    @property
    def _unread_bytes(self) -> int:
        """Bytes written that have not reached the client.

        Those in the kernel's buffer count too: it accepts data in lumps, which says nothing about the client.
        """
        in_kernel = bytearray(4)
        try:
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, in_kernel)
        except (OSError, ValueError):
            return self._transport.get_write_buffer_size()
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", in_kernel)[0])

    def _check(self) -> None:
        late_s = self._loop.time() - self._started_at - UNREAD_S
        if self._bytes_at_start - self._unread_bytes < MIN_READ_BYTES_PER_S * late_s:
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(UNREAD_S, self._check)
