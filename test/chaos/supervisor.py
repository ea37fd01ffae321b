"""Keeps the service running like `scripts/start_bg.sh`: restarts it whenever it ends, until stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import client
from life import Life
from own_service import READY_S
from ports import reserved_port

POLL_S = 0.2
STOP_S = 60.0
"""Time limit of a stop: the grace period is 20 s, plus some seconds."""
SHORT_LIVES = 3
"""Number of consecutive processes that may end before they are ready."""


class Supervisor:
    """The service in one process after the other, on the same port.

    Args:
        output: the file of their output.
        program: arguments of this Python that run the service.
        settings: environment variables.
    """

    def __init__(self, output: Path, program: Sequence[str], **settings: str) -> None:
        self._reservation = ExitStack()
        self.port = self._reservation.enter_context(reserved_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.lives: list[Life] = []
        self._output = output
        self._program = program
        self._environment = os.environ | settings | {"PARAKEET_HOST": "127.0.0.1", "PARAKEET_PORT": str(self.port)}
        self._closing = False
        self._changed = asyncio.Condition()

    @property
    def life(self) -> Life:
        """The current life, or the last."""
        return self.lives[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the service running while the block runs; it is ready when the block begins.

        Raises:
            client.Failure: it does not start.
        """
        keeping = asyncio.create_task(self._keep_up())
        try:
            await self.ready(1)
            yield
        finally:
            self._closing = True
            if not keeping.done():
                self._signal(signal.SIGTERM)
            await keeping
            self._reservation.close()

    async def end_life(self, how: signal.Signals) -> None:
        """Send the service a signal that ends it, and return once the next life is ready."""
        number = len(self.lives)
        self._signal(how)
        await self.ready(number + 1)

    async def ready(self, number: int) -> None:
        """Return once the life of this number is ready, the first being 1.

        Raises:
            client.Failure: none becomes ready.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._given_up or self._is_ready(number))
        if self._given_up:
            last = (self._output.read_text(errors="replace").splitlines() or ["it said nothing"])[-1]
            raise client.Failure(f"The service did not come up: {last}")

    @property
    def _given_up(self) -> bool:
        last = self.lives[-SHORT_LIVES:]
        return len(last) == SHORT_LIVES and all(life.ended_s < life.ready_s for life in last)

    def _is_ready(self, number: int) -> bool:
        return any(life.ready_s < float("inf") for life in self.lives[number - 1 :])

    def _signal(self, how: signal.Signals) -> None:
        life = self.life
        if life.exit_code is None:
            life.end_signal, life.asked_s = how, time.monotonic()
            os.kill(life.pid, how)

    async def _keep_up(self) -> None:
        with self._output.open("ab") as output:
            while not self._closing and not self._given_up:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *self._program, cwd=client.TOP, env=self._environment, stdout=output, stderr=output
                )
                life = Life(process.pid, time.monotonic())
                self.lives.append(life)
                await self._watch(life, process)

    async def _watch(self, life: Life, process: asyncio.subprocess.Process) -> None:
        """Watch a life to its end. One that does not end when asked is killed, and counts as not ended as asked."""
        ending = asyncio.create_task(process.wait())
        await self._until_ready(life, ending)
        await self._notify()
        while not ending.done():
            await asyncio.wait([ending], timeout=1)
            if time.monotonic() > life.asked_s + STOP_S:
                process.kill()
        life.exit_code, life.ended_s = process.returncode, time.monotonic()
        await self._notify()

    async def _until_ready(self, life: Life, ending: "asyncio.Task[int]") -> None:
        async with aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=5)) as http:
            while not ending.done() and time.monotonic() < life.started_s + READY_S:
                try:
                    async with http.get("/readyz") as answer:
                        if answer.ok:
                            life.ready_s = time.monotonic()
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.wait([ending], timeout=POLL_S)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
