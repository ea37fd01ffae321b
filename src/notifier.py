"""Wait in asyncio until a condition holds."""

import asyncio
from collections.abc import Callable


class Notifier:
    """Lets tasks wait until a condition holds. Every change that can make one true is followed by `notify`.

    It belongs to one event loop. Any number of tasks may wait, each for a condition of its own.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Let every waiting task check its condition again."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, at once if it does already."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
