"""The open realtime sessions of this process."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from src.errors import TooManySessions
from src.notifier import Notifier

RETRY_S = 10.0
"""What `Retry-After` says where all sessions are taken: they last as long as people speak."""
EVICTABLE_AFTER_S = 60.0
"""A session whose client has been silent for so long gives up its place where a new one would find none."""


def new_session_id() -> str:
    """Return an id that no session has had, in the shape of OpenAI's: `sess_` and 32 hexadecimal digits."""
    return f"sess_{uuid.uuid4().hex}"


@dataclass(eq=False, slots=True)
class SessionSlot:
    """One session's place."""

    active_at: float
    """When its client last sent something, in seconds of the sessions' clock."""
    should_end: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the session shall come to its end."""


class SessionSlots:
    """Counts sessions, and ends them in good order.

    Args:
        most: how many may be open at once.
        now: a clock in seconds that is never set back.
    """

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._seats: set[SessionSlot] = set()
        self._closed = Notifier()

    def __len__(self) -> int:
        return len(self._seats)

    def check_available(self) -> None:
        """Pass where one more may be opened.

        Raises:
            TooManySessions: they are all taken, by clients that use them.
        """
        staying = self._staying()
        is_full = len(staying) >= self._most and self._quietest(staying) is None
        if is_full or len(self._seats) >= 2 * self._most:
            message = f"All {self._most} realtime sessions of this server are taken. Try again later."
            raise TooManySessions(message, retry_after_s=RETRY_S)

    @contextmanager
    def acquire(self) -> Iterator[SessionSlot]:
        """Count the block as a session, whose place may be a silent client's so far.

        Raises:
            TooManySessions: they are all taken, by clients that use them.
        """
        self.check_available()
        staying = self._staying()
        if len(staying) >= self._most and (quietest := self._quietest(staying)):
            quietest.should_end.set()
        seat = SessionSlot(self._now())
        self._seats.add(seat)
        try:
            yield seat
        finally:
            self._seats.discard(seat)
            self._closed.notify()

    def touch(self, seat: SessionSlot) -> None:
        """Note that a session's client has sent something."""
        seat.active_at = self._now()

    async def drain(self, grace_s: float) -> None:
        """Ask all sessions to end, and wait for that at most `grace_s` seconds."""
        for seat in self._seats:
            seat.should_end.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._closed.until(lambda: not self._seats)

    def _staying(self) -> list[SessionSlot]:
        return [seat for seat in self._seats if not seat.should_end.is_set()]

    def _quietest(self, seats: list[SessionSlot]) -> SessionSlot | None:
        """Return the one that has been silent longest, if that is long."""
        quietest = min(seats, key=lambda seat: seat.active_at)
        return quietest if quietest.active_at <= self._now() - EVICTABLE_AFTER_S else None
