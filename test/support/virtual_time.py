"""An event loop in which no time passes but what is waited for: its clock goes to the next timer when all else is done.

What would run in a thread runs at once, and is done as much later as it says by `takes`. So a test of hours takes a
moment, and the same one each time.
"""

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Only what waits for timers, and for nothing outside the process, gets on in it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._takes_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now_s

    def takes(self, seconds: float) -> None:
        """Say in `run_in_executor`'s function how long it takes."""
        self._takes_s = seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override] # a coarser type
        return self.create_task(self._play(func, *args))

    async def _play(self, func: Any, *args: Any) -> Any:
        self._takes_s = 0.0
        try:
            return func(*args)
        finally:
            if self._takes_s:
                await asyncio.sleep(self._takes_s)


class _Selector(selectors.SelectSelector):
    """Waits for no file, but lets the loop's time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("all wait for something that will never be")
        self._loop.now_s += timeout
        return super().select(0)
