"""The faults of the soak test: one kind after the other in random order, repeatedly."""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import process_tree
import rude_client
from call import POISON, SIMPLE, Call, of_kind
from caller import Caller
from small_disk import SmallDisk
from supervisor import Supervisor
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

BURST = 120
"""Number of concurrent calls, more than the soak test's service accepts."""
IDLE = 40
SLOW = 5
SLOW_BYTES_PER_S = 20
FULL_S = 3.0
LURK_S = 3.0
LURK_PERIOD_S = 0.02
NONSENSE_EVENTS = 300
FLOOD_S = 10.0
TOO_LONG_BYTES = 65 * 1024 * 1024
NONSENSE = ("{", "[]", '"text"', '{"type": 7}', '{"type": "no.such.event"}', '{"type": "input_audio_buffer.append"}')


REJECTED = ("400", "408", "413", "429", "431", "501", "503", rude_client.NO_ANSWER)
FLOODED = ("answered", "closed 1001", "closed 1008", "closed 1009", "closed 1013", rude_client.NO_ANSWER)
EXPECTED = {
    "slow upload": (*REJECTED, rude_client.STILL_OPEN),
    "oversize upload": REJECTED,
    "nonsense": REJECTED,
    "flood of wrong events": FLOODED,
}
"""The allowed outcomes of invalid requests, by kind."""


@dataclass(frozen=True)
class Visit:
    """The outcome of an invalid request: a status, or a word if there was none."""

    kind: str
    code: str

    @property
    def is_expected(self) -> bool:
        """Whether the outcome is allowed for its kind."""
        return self.code in EXPECTED[self.kind]


class Faults:
    """Makes faults for the service of a supervisor; `hold_s` is the duration of those that have one."""

    def __init__(
        self,
        caller: Caller,
        supervisor: Supervisor,
        disk: SmallDisk,
        calls: list[Call],
        chance: random.Random,
        hold_s: float,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.visits: list[Visit] = []
        self.workers_killed_s: list[float] = []
        self._caller = caller
        self._supervisor = supervisor
        self._disk = disk
        self._calls = calls
        self._chance = chance
        self._hold_s = hold_s
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "decode worker killed": self._kill_worker,
            "workers' parent killed": self._kill_parent,
            "gone while uploading": self._leave_while_uploading,
            "gone while answered": self._leave_while_answered,
            "gone in a session": self._leave_session,
            "poison file": self._poison,
            "log folder moved away": self._move_log_folder,
            "slow uploads": self._upload_slowly,
            "idle connections": self._stay_idle,
            "oversize upload": self._declare_too_much,
            "nonsense": self._talk_nonsense,
            "flood of wrong events": self._flood,
            "burst": self._burst,
        }
        if disk.mounted:
            self._kinds["disk full"] = self._fill_disk

    @property
    def kinds(self) -> int:
        """Number of kinds of faults."""
        return len(self._kinds)

    def in_turn(self) -> Iterator[str]:
        """Yield the kinds of faults forever, each one once before any is repeated."""
        while True:
            yield from self._chance.sample(sorted(self._kinds), self.kinds)

    async def make(self, kind: str) -> None:
        """Make a fault of a kind. It does not count if it fails because the service is down."""
        with suppress(OSError, WebSocketException):
            await self._kinds[kind]()
            self.counts[kind] += 1

    async def end_life(self, how: signal.Signals) -> None:
        """End the service's process, and return once the next one is ready."""
        await self._supervisor.end_life(how)
        self.counts[how.name] += 1

    async def _kill_worker(self) -> None:
        """Wait for one of the short-lived processes that decode a file each, and kill it."""
        deadline_s = time.monotonic() + LURK_S
        while time.monotonic() < deadline_s:
            if workers := [each for parent in self._parents() for each in process_tree.children(parent)]:
                self.workers_killed_s.append(time.monotonic())
                os.kill(self._chance.choice(workers), signal.SIGKILL)
                return
            await asyncio.sleep(LURK_PERIOD_S)
        raise ProcessLookupError

    async def _kill_parent(self) -> None:
        for parent in self._parents():
            os.kill(parent, signal.SIGKILL)

    def _parents(self) -> list[int]:
        return process_tree.children(self._supervisor.life.pid)

    async def _leave_while_uploading(self) -> None:
        await rude_client.leave_while_uploading(self._port, self._any("json").upload.body)

    async def _leave_while_answered(self) -> None:
        await rude_client.leave_while_answered(self._port, self._any("long").upload)

    async def _leave_session(self) -> None:
        async with connect(self._address, compression=None, proxy=None) as socket:
            for frame in self._any("simple session").upload.frames:
                await socket.send(frame)
            socket.transport.abort()

    async def _poison(self) -> None:
        await self._caller.send(self._any(POISON))

    async def _move_log_folder(self) -> None:
        folder = self._disk.folder / "metrics"
        folder.rename(folder.with_name(f"moved-{self.counts['log folder moved away']}"))

    async def _fill_disk(self) -> None:
        with self._disk.filled():
            await asyncio.sleep(min(FULL_S, self._hold_s))

    async def _upload_slowly(self) -> None:
        content = self._any("json").upload.body
        uploads = [rude_client.upload_slowly(self._port, content, SLOW_BYTES_PER_S, self._hold_s) for _ in range(SLOW)]
        for code in await asyncio.gather(*uploads, return_exceptions=True):
            if isinstance(code, str):
                self.visits.append(Visit("slow upload", code))

    async def _stay_idle(self) -> None:
        said = (b"", rude_client.HALF_A_HEADER)
        staying = [rude_client.stay_idle(self._port, said[number % 2], self._hold_s) for number in range(IDLE)]
        await asyncio.gather(*staying, return_exceptions=True)

    async def _declare_too_much(self) -> None:
        code = await rude_client.declare_too_much(self._port, self._any("json").upload, TOO_LONG_BYTES)
        self.visits.append(Visit("oversize upload", code))

    async def _talk_nonsense(self) -> None:
        self.visits.append(Visit("nonsense", await rude_client.talk_nonsense(self._port, self._chance.randbytes(3000))))

    async def _flood(self) -> None:
        async with connect(self._address, compression=None, proxy=None) as socket:
            reading = asyncio.create_task(_read_errors(socket, NONSENSE_EVENTS))
            with suppress(ConnectionClosed):
                for _ in range(NONSENSE_EVENTS):
                    await socket.send(self._chance.choice(NONSENSE))
            self.visits.append(Visit("flood of wrong events", await reading))

    async def _burst(self) -> None:
        calls = [self._any("json") for _ in range(BURST)]
        await asyncio.gather(*(self._caller.send(call, burst=True) for call in calls))

    @property
    def _port(self) -> int:
        return self._supervisor.port

    @property
    def _address(self) -> str:
        return f"ws://127.0.0.1:{self._port}{SIMPLE.route}"

    def _any(self, kind: str) -> Call:
        return self._chance.choice(of_kind(self._calls, kind))


async def _read_errors(socket: ClientConnection, count: int) -> str:
    """Read until `count` errors have come; return the outcome of the connection."""
    try:
        async with asyncio.timeout(FLOOD_S):
            while count:
                count -= json.loads(await socket.recv())["type"] == "error"
    except TimeoutError:
        return "unanswered"
    except ConnectionClosed as closed:
        return f"closed {closed.rcvd.code}" if closed.rcvd else rude_client.NO_ANSWER
    return "answered"
