"""The open realtime sessions of this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from src.errors import TooManySessions

RETRY_S = 10.0
"""What `Retry-After` says where all sessions are taken: they last as long as people speak."""


class Sessions:
    """Counts sessions, and ends them in good order.

    Args:
        most: how many may be open at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[asyncio.Event] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def check_room(self) -> None:
        """Pass where one more may be opened.

        Raises:
            TooManySessions: they are all taken.
        """
        if len(self._open) >= self._most:
            message = f"All {self._most} realtime sessions of this server are taken. Try again later."
            raise TooManySessions(message, retry_after_s=RETRY_S)

    @contextmanager
    def joined(self) -> Iterator[asyncio.Event]:
        """Count the block as a session. What it gets is set when the session shall come to its end.

        Raises:
            TooManySessions: they are all taken.
        """
        self.check_room()
        ending = asyncio.Event()
        self._open.add(ending)
        try:
            yield ending
        finally:
            self._open.discard(ending)
            self._changed.set()

    async def drain(self, grace_s: float) -> None:
        """Ask all sessions to end, and wait for that at most `grace_s` seconds."""
        for ending in self._open:
            ending.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._open:
                    self._changed.clear()
                    await self._changed.wait()
