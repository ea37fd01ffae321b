"""Memory that many share: how much of it each holds, so that together they never hold more than there is."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from src.errors import ServiceError
from src.notifier import Notifier


class Budget:
    """A sum of bytes. Any thread may use it, and what is held of it.

    Who is alone may hold any amount: what the other limits allow can be done, if only by itself.

    Args:
        most_bytes: what all may hold together.
        shares: so many of those who hold may be sure of an equal part of half of the sum, whatever others hold.
    """

    def __init__(self, most_bytes: int, shares: int = 0) -> None:
        self._shares = shares
        self._share_bytes = most_bytes // 2 // shares if shares else 0
        self._free_bytes = most_bytes - shares * self._share_bytes  # for what anybody holds beyond a share
        self._lock = threading.Lock()
        self._holding: set[Held] = set()
        self._overdrawn: Held | None = None
        self._times_freed = 0

    @property
    def held_bytes(self) -> int:
        """What all hold together."""
        with self._lock:
            return sum(held.bytes for held in self._holding)

    @property
    def times_freed(self) -> int:
        """How often somebody has come to hold less, since the start."""
        return self._times_freed

    def join(self, *, sure: bool = False) -> "Held":
        """Return what somebody may `hold` of the sum with, nothing at first, until it says `leave`.

        `sure` asks for a share, which it gets where one is left.
        """
        with self._lock:
            sure = sure and sum(held.share_bytes > 0 for held in self._holding) < self._shares
            held = Held(self, self._share_bytes if sure else 0)
            self._holding.add(held)
            return held

    @contextmanager
    def joined(self, *, sure: bool = False) -> Iterator["Held"]:
        """As `join`, for a block."""
        held = self.join(sure=sure)
        try:
            yield held
        finally:
            held.leave()

    def leave(self, held: "Held") -> None:
        """Do what `Held.leave` says."""
        self.resize(held, 0)
        with self._lock:
            self._holding.discard(held)

    def resize(self, held: "Held", to_bytes: int, *, overdraw: bool = False) -> bool:
        """Do what `Held.hold` and `Held.overdraw` say."""
        with self._lock:
            more = held.beyond_share(to_bytes) - held.beyond_share(held.bytes)
            fits = more <= max(0, self._free_bytes)
            if not fits and overdraw and self._overdrawn in (None, held):
                self._overdrawn = held
            elif not fits and any(each.bytes for each in self._holding if each is not held):
                return False
            self._free_bytes -= more
            if self._free_bytes >= 0:
                self._overdrawn = None
            self._times_freed += to_bytes < held.bytes
            held.bytes = to_bytes
            return True


class Held:
    """What somebody holds of a budget."""

    def __init__(self, budget: Budget, share_bytes: int) -> None:
        self._budget = budget
        self.share_bytes = share_bytes
        """What of it nobody can take away."""
        self.bytes = 0

    def beyond_share(self, held_bytes: int) -> int:
        """Return how much of so many bytes comes out of what is there for all."""
        return max(0, held_bytes - self.share_bytes)

    def hold(self, to_bytes: int) -> bool:
        """Hold so much in all from now on, and return whether there is room for it; for less there always is."""
        return self._budget.resize(self, to_bytes)

    def overdraw(self, to_bytes: int) -> bool:
        """Hold so much where there is no room, and return whether that may be: for one, until all is within the sum.

        So those who all have some of what they need, and wait for each other, come to an end one by one.
        """
        return self._budget.resize(self, to_bytes, overdraw=True)

    def leave(self) -> None:
        """Give everything back, and the share too."""
        self._budget.leave(self)


class Room:
    """A budget whose users wait until there is room for them, in the order in which they came.

    All methods belong to one event loop; what is held may be made larger in other threads, but not smaller.

    Args:
        budget: the sum.
        wait_s: how long anybody waits.
        full: makes the error of those who have waited in vain.
    """

    def __init__(self, budget: Budget, wait_s: float, full: Callable[[], ServiceError]) -> None:
        self._budget = budget
        self._wait_s = wait_s
        self.full = full
        self._turn = asyncio.Lock()  # held by the one who waits for room, behind whom the others queue
        self._freed = Notifier()

    @asynccontextmanager
    async def taken(self, size_bytes: int) -> AsyncIterator[Held]:
        """Wait until so much may be held, and hold it in the block.

        Raises:
            ServiceError: there was no room within the time.
        """
        try:
            with self._budget.joined() as held:
                await self._wait(held, size_bytes)
                yield held
        finally:
            self._freed.notify()

    def shrink(self, held: Held, to_bytes: int) -> None:
        """Give back what is held beyond so many bytes."""
        if to_bytes < held.bytes:
            held.hold(to_bytes)
            self._freed.notify()

    async def _wait(self, held: Held, size_bytes: int) -> None:
        if not size_bytes or (not self._turn.locked() and held.hold(size_bytes)):
            return
        try:
            async with asyncio.timeout(self._wait_s), self._turn:
                await self._freed.until(lambda: held.hold(size_bytes))
        except TimeoutError:
            raise self.full() from None
