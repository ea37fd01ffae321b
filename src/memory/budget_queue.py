"""A memory budget that requests wait for in turn."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from src.errors import ServiceError
from src.memory.budget import Budget, Reservation
from src.notifier import Notifier


class BudgetQueue:
    """A budget whose users wait for room, first come, first served.

    All methods belong to one event loop. Other threads may resize a reservation, but only to make it larger.

    Args:
        budget: the budget.
        wait_s: longest wait in seconds.
        new_error: returns the error for a user who has waited that long.
    """

    def __init__(self, budget: Budget, wait_s: float, new_error: Callable[[], ServiceError]) -> None:
        self._budget = budget
        self._wait_s = wait_s
        self.new_error = new_error
        """Returns the error for a user who has found no room."""
        self._turn = asyncio.Lock()  # held by the first in the queue; the others wait for it
        self._freed = Notifier()

    @asynccontextmanager
    async def reserved(self, size_bytes: int) -> AsyncIterator[Reservation]:
        """Wait for room for `size_bytes`, and reserve it for the block.

        Raises:
            ServiceError: there was no room in time.
        """
        try:
            with self._budget.reserved() as reservation:
                await self._wait(reservation, size_bytes)
                yield reservation
        finally:
            self._freed.notify()

    def shrink(self, reservation: Reservation, to_bytes: int) -> None:
        """Give back what is reserved beyond `to_bytes`."""
        if to_bytes < reservation.bytes:
            reservation.resize(to_bytes)
            self._freed.notify()

    async def _wait(self, reservation: Reservation, size_bytes: int) -> None:
        if not size_bytes or (not self._turn.locked() and reservation.resize(size_bytes)):
            return
        try:
            async with asyncio.timeout(self._wait_s), self._turn:
                await self._freed.until(lambda: reservation.resize(size_bytes))
        except TimeoutError:
            raise self.new_error() from None
