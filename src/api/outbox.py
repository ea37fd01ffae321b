"""Messages on their way to a WebSocket client."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

from src.notifier import Notifier

MAX_UNSENT_CHARS = 1 << 20
"""Characters that may wait for a slow client. The events of a minute are a tenth of that."""


class SlowReader(Exception):
    """The client has left too many messages unread."""


class Outbox:
    """A queue of messages for one client.

    Args:
        changes: notified when it is empty.
    """

    def __init__(self, changes: Notifier) -> None:
        self._changes = changes
        self._filled = Notifier()
        self._messages: deque[str] = deque()
        self._unsent_chars = 0

    @property
    def is_empty(self) -> bool:
        """Whether every message was sent."""
        return not self._messages

    def put(self, messages: Iterable[str]) -> None:
        """Add messages.

        Raises:
            SlowReader: more than `MAX_UNSENT_CHARS` were waiting already.
        """
        if self._unsent_chars > MAX_UNSENT_CHARS:
            raise SlowReader
        for message in messages:
            self._messages.append(message)
            self._unsent_chars += len(message)
        self._filled.notify()

    async def send(self, send: Callable[[str], Awaitable[None]]) -> NoReturn:
        """Send the messages in order, as they come, until cancelled or until `send` raises."""
        while True:
            await self._filled.until(lambda: not self.is_empty)
            await send(self._messages[0])
            self._unsent_chars -= len(self._messages.popleft())
            if self.is_empty:
                self._changes.notify()
            await asyncio.sleep(0)  # `send` need not wait: thousands of messages would hold up the event loop
