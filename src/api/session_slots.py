"""The slots of this process for realtime sessions."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from src.errors import TooManySessions
from src.notifier import Notifier

RETRY_S = 10.0
"""`Retry-After` when all slots are taken: sessions last as long as people speak."""
EVICTABLE_AFTER_S = 60.0
"""A session whose client has been silent for this long gives up its slot when a new session would find none."""


def new_session_id() -> str:
    """Return a unique session id in OpenAI's form: `sess_` and 32 hexadecimal digits."""
    return f"sess_{uuid.uuid4().hex}"


@dataclass(eq=False, slots=True)
class SessionSlot:
    """The slot of one session."""

    active_at: float
    """When its client last sent something, in seconds of the slots' clock."""
    should_end: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its session is to end."""


class SessionSlots:
    """Limits the number of sessions, evicts idle ones, and ends all of them at shutdown.

    Args:
        max_sessions: the number of slots.
        now: a clock in seconds that is never set back.
    """

    def __init__(self, max_sessions: int, now: Callable[[], float] = time.monotonic) -> None:
        self._max_sessions = max_sessions
        self._now = now
        self._slots: set[SessionSlot] = set()
        self._closed = Notifier()

    def __len__(self) -> int:
        return len(self._slots)

    def check_available(self) -> None:
        """Check that one more session may open.

        Raises:
            TooManySessions: all slots are taken, and none is idle.
        """
        staying = self._staying()
        is_full = len(staying) >= self._max_sessions and self._evictable(staying) is None
        # A session that is to end still counts for a while. Without the second limit, evictions could pile up.
        if is_full or len(self._slots) >= 2 * self._max_sessions:
            message = f"All {self._max_sessions} realtime sessions of this server are taken. Try again later."
            raise TooManySessions(message, retry_after_s=RETRY_S)

    @contextmanager
    def acquire(self) -> Iterator[SessionSlot]:
        """Take a slot for the block. If all are taken, the longest idle session is evicted.

        Raises:
            TooManySessions: all slots are taken, and none is idle.
        """
        self.check_available()
        staying = self._staying()
        if len(staying) >= self._max_sessions and (evicted := self._evictable(staying)):
            evicted.should_end.set()
        slot = SessionSlot(self._now())
        self._slots.add(slot)
        try:
            yield slot
        finally:
            self._slots.discard(slot)
            self._closed.notify()

    def touch(self, slot: SessionSlot) -> None:
        """Note that a session's client has sent something."""
        slot.active_at = self._now()

    def idle_s(self, slot: SessionSlot) -> float:
        """Return for how long a session's client has sent nothing, in seconds."""
        return self._now() - slot.active_at

    async def drain(self, grace_s: float) -> None:
        """Ask all sessions to end, and wait at most `grace_s` seconds for that."""
        for slot in self._slots:
            slot.should_end.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._closed.until(lambda: not self._slots)

    def _staying(self) -> list[SessionSlot]:
        return [slot for slot in self._slots if not slot.should_end.is_set()]

    def _evictable(self, slots: list[SessionSlot]) -> SessionSlot | None:
        """Return the slot that has been idle longest, if that is long enough."""
        idlest = min(slots, key=lambda slot: slot.active_at)
        return idlest if idlest.active_at <= self._now() - EVICTABLE_AFTER_S else None
