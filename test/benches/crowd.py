"""Many connections that send next to nothing and stay open; each reconnects when the server closes it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import client
import rude_client
from own_service import Server

HOLD_S = 3600.0
"""Longer than the benchmark: only the server closes connections."""
AGAIN_S = 0.2
"""Pause before a closed connection reconnects."""
CHANGE_S = 60.0
"""Time within which all of them must have connected or disconnected."""
PRESENT = 0.95
"""Share of the connections that counts as a full crowd: some are reconnecting while the server closes idle ones."""

Visit = Callable[[], Awaitable[str]]


class Crowd:
    """Connections that send nothing, send half a header, or upload `content` slowly; `ended` counts how they ended.

    `min_held` is the smallest number of open connections that was observed.
    """

    def __init__(self, server: Server, *, silent: int, half: int, slow: int, content: bytes, bytes_per_s: int) -> None:
        self.ended: Counter[str] = Counter()
        self.min_held = silent + half + slow
        self._server = server
        self._size = self.min_held
        port = int(server.url.rpartition(":")[2])
        self._visits: dict[str, tuple[int, Visit]] = {
            "silent": (silent, lambda: rude_client.stay_idle(port, b"", HOLD_S)),
            "half a header": (half, lambda: rude_client.stay_idle(port, rude_client.HALF_A_HEADER, HOLD_S)),
            "slow upload": (slow, lambda: rude_client.upload_slowly(port, content, bytes_per_s, HOLD_S)),
        }

    @asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Keep all of them connected while the block runs. It begins once they are; afterwards they have disconnected.

        Raises:
            client.Failure: the server does not accept them, or does not release them.
        """
        before = self._held()
        staying = [
            asyncio.create_task(self._reconnect(kind, visit))
            for kind, (count, visit) in self._visits.items()
            for _ in range(count)
        ]
        try:
            await self._until(lambda held: held >= before + PRESENT * self._size)
            yield
            self.min_held = min(self.min_held, self._held() - before)
        finally:
            for task in staying:
                task.cancel()
            await asyncio.wait(staying)
        await self._until(lambda held: held <= before + (1 - PRESENT) * self._size)

    async def _reconnect(self, kind: str, visit: Visit) -> None:
        while True:
            with suppress(OSError):
                self.ended[f"{kind}: {await visit()}"] += 1
            await asyncio.sleep(AGAIN_S)

    async def _until(self, condition: Callable[[int], bool]) -> None:
        for _ in range(round(CHANGE_S / 0.1)):
            if condition(self._held()):
                return
            await asyncio.sleep(0.1)
        raise client.Failure(f"The server holds {self._held()} descriptors, {self._size} connections came and went")

    def _held(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self._server.pid}/fd").iterdir())
