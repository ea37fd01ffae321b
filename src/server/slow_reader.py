"""Slow readers."""

import asyncio
import fcntl
import struct
import termios

UNREAD_S = 60.0
"""How long a client may take none of an answer that waits for it."""
MIN_READ_BYTES_PER_S = 500.0
"""What it must take by the second after that."""


class Unread:
    """Cuts a client off that does not take what waits for it, judged by what it takes rather than by what is left."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._looking: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._bytes_at_first = 0

    def watch(self) -> None:
        """Watch from now on; again, do nothing."""
        if self._looking is None:
            self._since, self._bytes_at_first = self._loop.time(), self._bytes
            self._looking = self._loop.call_later(UNREAD_S, self._look)

    def rest(self) -> None:
        """Watch no more."""
        if self._looking:
            self._looking.cancel()
            self._looking = None

    @property
    def _bytes(self) -> int:
        """What has been written and has not reached the client; what the kernel holds of it comes and goes in lumps."""
        held = bytearray(4)
        try:
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
        except (OSError, ValueError):
            return self._transport.get_write_buffer_size()
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", held)[0])

    def _look(self) -> None:
        late_s = self._loop.time() - self._since - UNREAD_S
        if self._bytes_at_first - self._bytes < MIN_READ_BYTES_PER_S * late_s:
            self._transport.abort()
        else:
            self._looking = self._loop.call_later(UNREAD_S, self._look)
