"""An event loop with virtual time: its clock goes to the next timer when nothing else can run.

Functions for threads run at once in the loop itself, and count as finished as much later as they say. So a test of
hours takes a moment, and the same one each time.
"""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Tasks may wait for each other and for timers, but for nothing outside the process."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._ending: Callable[[], Awaitable[None]] | None = None
        self._settling: list[asyncio.Future[None]] = []
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now_s

    def takes(self, seconds: float) -> None:
        """Called in a function of `run_in_executor`: the function counts as finished after `seconds`."""
        self.lasts_until(lambda: asyncio.sleep(seconds))

    def lasts_until(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Called in a function of `run_in_executor`: the function counts as finished when `ending()` has finished."""
        self._ending = ending

    async def settled(self) -> None:
        """Return when no other task can go on without the clock."""
        future = self.create_future()
        self._settling.append(future)
        await future

    def wake_settled(self) -> bool:
        """Let `settled` return, if anybody waits for it; return whether that is so."""
        waiting, self._settling = self._settling, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return bool(waiting)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override] # a coarser type
        return self.create_task(self._play(func, *args))

    async def _play(self, func: Any, *args: Any) -> Any:
        self._ending = None
        try:
            return func(*args)
        finally:
            if self._ending:
                await self._ending()


class _Selector(selectors.SelectSelector):
    """Waits for no file, but lets the loop's time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout != 0 and self._loop.wake_settled():
            timeout = 0
        if timeout is None:
            raise RuntimeError("all wait for something that will never be")
        self._loop.now_s += timeout
        return super().select(0)


def virtual_loop() -> VirtualLoop:
    """Return the running loop."""
    return cast("VirtualLoop", asyncio.get_running_loop())


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in a `VirtualLoop`."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **named))

    return run
