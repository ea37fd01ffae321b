"""The calls of a realtime session by the tasks of its connection."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from src.realtime import events
from src.realtime.outputs import Notice, Output


class SessionCalls:
    """Calls a session for several tasks, one call at a time, and delivers what it puts out.

    Args:
        session_id: the session's id, a part of which is in the ids of its events.
        threads: runs the calls that take long.
        deliver: gets the outputs of each call that has any, the events as JSON. Whatever it raises, the call raises.
    """

    def __init__(self, session_id: str, threads: Executor, deliver: Callable[[Sequence[str | Notice]], None]) -> None:
        self.lock = asyncio.Lock()
        """Held during each call."""
        self.session_id = session_id
        """The session's id."""
        self._threads = threads
        self._deliver = deliver
        self._events_encoded = 0

    async def now(self, method: Callable[..., list[Output]], *args: Any) -> None:
        """Call a method of the session that takes no time."""
        if not self.lock.locked():
            self.deliver(method(*args))
            return
        async with self.lock:
            self.deliver(method(*args))

    async def in_thread(self, method: Callable[..., list[Output]], *args: Any) -> None:
        """Call a method of the session in a thread."""
        async with self.lock:
            outputs = await asyncio.get_running_loop().run_in_executor(self._threads, self._call, method, *args)
            if outputs:
                self._deliver(outputs)

    def deliver(self, outputs: Sequence[Output]) -> None:
        """Deliver the outputs of a call that somebody else has made, with the lock held or at once."""
        if outputs:
            self._deliver(self._encoded(outputs))

    def _call(self, method: Callable[..., list[Output]], *args: Any) -> list[str | Notice]:
        return self._encoded(method(*args))

    def _encoded(self, outputs: Sequence[Output]) -> list[str | Notice]:
        return [self._as_json(each) if isinstance(each, events.ServerEvent) else each for each in outputs]

    def _as_json(self, event: events.ServerEvent) -> str:
        self._events_encoded += 1
        return event.encoded(f"event_{self._events_encoded:06d}_{self.session_id[5:15]}")
