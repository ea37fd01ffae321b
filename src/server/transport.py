"""A transport."""

import asyncio
from collections.abc import Callable
from typing import Any


class Transport:
    """A connection's transport, whose `close` is decided by its protocol.

    Args:
        transport: asyncio's.
        close: called the first time that it shall be closed.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]) -> None:
        self._transport = transport
        self._close = close
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing more may be written."""
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Close it, in whatever way is right."""
        if not self.is_closing():
            self._closing = True
            self._close(self._transport)
