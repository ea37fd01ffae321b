"""A transport that asks its protocol how to close."""

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_S = 5.0
"""How long a client may go on sending what is not read. If its connection were closed while it sends, it would not see
its response or why the server closes; but one that never stops sending must not keep the connection."""


class ProtocolTransport:
    """An asyncio transport whose first `close` calls the protocol instead. All else is the wrapped transport's.

    Args:
        transport: the transport to wrap.
        close: called with the wrapped transport on the first `close`; it closes that in its own way and time.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]) -> None:
        self.wrapped = transport
        """asyncio's own transport."""
        self._close = close
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def is_closing(self) -> bool:
        """Return whether it is closed or closing: nothing more may be written."""
        return self._closing or self.wrapped.is_closing()

    def close(self) -> None:
        """Let the protocol close the connection."""
        if not self.is_closing():
            self._closing = True
            self._close(self.wrapped)
