"""`WS /v1/realtime`: the WebSocket around a realtime session. It waits, reads and writes; the session decides."""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from fastapi import APIRouter, Request, WebSocket
from starlette.websockets import WebSocketDisconnect

from src.api.dependencies import Services, services_of
from src.api.errors import error_response
from src.api.paths import is_azure
from src.api.realtime_handshake import read_handshake
from src.api.session_slots import SessionSlot
from src.engine.model import StepResult
from src.engine.windowing import Windowing
from src.errors import ClientGone, QueueFull, ServiceError, UpgradeRequired
from src.memory.budget import Reservation
from src.metrics.trace import CLIENT_CLOSED, Trace, write_trace
from src.realtime import events
from src.realtime.outputs import ItemCommitted, ItemEnded, ItemWork, Output, StepWork, Work
from src.realtime.session import Session
from src.realtime.session_params import SessionLimits, SessionParams
from src.scheduling.jobs import Priority
from src.settings import Settings
from src.text.transcript import Transcript
from src.transcription.audio_source import ItemAudio
from src.wire.model_names import ServedModel

log = logging.getLogger("src.access")

router = APIRouter(tags=["realtime"])

ROUTE = "/v1/realtime"

HEAR_S = 0.1
"""Appended audio is decoded when so much of it has come together: each time costs the same, little or much."""
LONG_TEXT = 1000
"""Tokens from which a live text is put together beside the event loop, as a final one always is: with times and log
probabilities, hours of it take seconds."""
LONG_MESSAGE = 1 << 16
"""Characters from which a message is parsed beside the event loop."""
MESSAGE_COPIES = 5
"""How often a message is in memory while it is read: itself, its audio as text, and that as it is decoded."""
FINISH_S = 30.0
"""How long a session that has come to its limit may take to finish what it has committed."""
MAX_UNREAD = 1 << 20
"""Characters that may wait for a client to read them, before more is too much; the events of a minute are a tenth."""


class Close(NamedTuple):
    """How a connection ends (RFC 6455, 7.4.1)."""

    code: int
    reason: str = ""


CLOSED_WITHOUT_CODE = 1005
INTERNAL = Close(1011, "The server met an unexpected error.")
TOO_SLOW = Close(1013, "The client does not read what it is sent.")
STOPPING = Close(1001, "The server is shutting down.")


_Result = TypeVar("_Result")


class SlowReader(Exception):
    """The client has left too much unread."""


@router.head(ROUTE, include_in_schema=False)
@router.get(ROUTE, include_in_schema=False)
async def without_upgrade(request: Request) -> None:
    """Tell a client that does not speak WebSocket what is needed."""
    raise UpgradeRequired(f"{request.scope['path']} is a WebSocket: connect to it with ws:// or wss://.")


@router.websocket(ROUTE)
async def realtime(websocket: WebSocket) -> None:
    """Serve one session."""
    shared = services_of(websocket.app)
    served = shared.served_model.by_any_name if is_azure(websocket.scope) else shared.served_model
    route: str = websocket.scope["route"].path
    try:
        params = read_handshake(websocket, shared.settings, served)
        shared.scheduler.check_ready()
        shared.sessions.check_available()
    except ServiceError as error:
        log.info("WS %s refused: %d %s", route, error.status, error.code)
        await websocket.send_denial_response(error_response(error))
        return
    with shared.sessions.acquire() as seat, shared.session_audio.reserved(guaranteed=True) as memory:
        subprotocol = "realtime" if "realtime" in websocket.scope["subprotocols"] else None
        await websocket.accept(subprotocol, [(b"x-request-id", params.session_id.encode())])
        await _Connection(websocket, shared, served, params, seat, memory).run()


class _Connection:
    """One connection: a reader, a writer and a worker around a session, which one of them at a time uses.

    Whichever ends first says how the connection is closed.
    """

    def __init__(
        self,
        websocket: WebSocket,
        shared: Services,
        served: ServedModel,
        params: SessionParams,
        seat: SessionSlot,
        memory: Reservation,
    ) -> None:
        self._websocket = websocket
        self._route: str = websocket.scope["route"].path
        self._shared = shared
        self._params = params
        self._seat = seat
        self._session = Session(
            params,
            _limits(shared.settings),
            served,
            shared.scheduler.languages,
            shared.detector.new_stream,
            lambda kind: f"{kind}_{uuid.uuid4().hex[:24]}",
            memory,
        )
        self._using = asyncio.Lock()  # held while the session is at work, perhaps in a thread
        self._outbox: deque[str] = deque()
        self._unread = 0  # characters in the outbox
        self._sent = 0
        self._left_with = CLOSED_WITHOUT_CODE
        self._items: dict[str, tuple[Trace, float]] = {}  # those without a text, with their length in seconds
        self._step: tuple[StepWork, asyncio.Task[StepResult]] | None = None
        self._work_may_have_come = asyncio.Event()
        self._something_to_write = asyncio.Event()
        self._progress = asyncio.Event()  # something that the reader or the end may wait for has come true

    async def run(self) -> None:
        """Serve the session to its end."""
        started = time.monotonic()
        self._give_out(self._told(self._session.open))
        parts = (self._read(), self._write(), self._work(), self._end_when_asked())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            close = self._how(done.pop())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._record_unfinished()
        if close:
            await self._close(close)
        code = close.code if close else self._left_with
        log.info("WS %s %d in %.3f s, %s", self._route, code, time.monotonic() - started, self._params.session_id)

    def _how(self, ended: asyncio.Task[Close]) -> Close | None:
        """Return how to close; None where the client has."""
        error = ended.exception()
        if error is None:
            return ended.result()
        if isinstance(error, SlowReader):
            return TOO_SLOW
        if isinstance(error, ClientGone):
            return None
        log.error("%s failed", self._params.session_id, exc_info=error)
        return INTERNAL

    async def _close(self, close: Close) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):  # the client was faster
            await self._websocket.close(close.code, close.reason)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _read(self) -> Close:
        settings = self._shared.settings
        loop = asyncio.get_running_loop()
        expires = loop.time() + settings.realtime_session_s
        while True:
            idle_until = loop.time() + settings.realtime_idle_s
            try:
                async with asyncio.timeout_at(min(expires, idle_until)):
                    await self._until(lambda: not self._session.backlogged)
                    message = await self._receive()
            except TimeoutError:
                if loop.time() < expires and not self._session.idle:
                    continue  # the client waits for an answer
                await _within(FINISH_S, self._finished())
                return self._overdue(expires <= idle_until)
            self._shared.sessions.touch(self._seat)
            await self._take(message)
            await asyncio.sleep(0)  # short messages are taken without waiting; thousands of them may have come at once

    def _overdue(self, expired: bool) -> Close:
        settings = self._shared.settings
        if expired:
            minutes = settings.realtime_session_s / 60
            return Close(1001, f"Your session hit the maximum duration of {minutes:g} minutes.")
        return Close(1001, f"Your session was idle for {settings.realtime_idle_s:g} seconds.")

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            self._left_with = message.get("code") or CLOSED_WITHOUT_CODE
            raise ClientGone
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def _take(self, message: str | bytes) -> None:
        """Take in a message: where it is long, beside the loop, and not before there is memory for that."""
        if len(message) < LONG_MESSAGE:
            await self._heed(message)
            return
        try:
            async with self._shared.parsing_memory.reserved(MESSAGE_COPIES * len(message)):
                await self._heed(message)
        except QueueFull as full:
            await self._refuse(full)

    async def _refuse(self, error: events.InvalidEvent | QueueFull) -> None:
        async with self._using:
            self._give_out(self._told(self._session.refuse, error))

    async def _heed(self, message: str | bytes) -> None:
        try:
            if len(message) < LONG_MESSAGE:
                event = events.parse(message)
            else:
                event = await self._beside_the_loop(events.parse, message)
        except events.InvalidEvent as error:
            await self._refuse(error)
            return
        async with self._using:
            if isinstance(event, events.Append):
                self._give_out(self._told(self._session.receive, event))
                if self._session.waiting_s < HEAR_S:
                    return
                told = await self._beside_the_loop(self._told, self._session.hear)
            else:
                told = await self._beside_the_loop(self._told, self._session.receive, event)
            self._give_out(told)

    async def _beside_the_loop(self, call: Callable[..., _Result], *given: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._shared.realtime_pool, call, *given)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _told(self, call: Callable[..., list[Output]], *given: Any) -> list[str | ItemCommitted | ItemEnded]:
        """Call the session and return what it tells, events as their JSON, for `_give_out`."""
        return [self._numbered(each) if isinstance(each, events.ServerEvent) else each for each in call(*given)]

    def _numbered(self, event: events.ServerEvent) -> str:
        self._sent += 1
        return event.encoded(f"event_{self._sent:06d}_{self._params.session_id[5:15]}")

    def _give_out(self, told: Iterable[str | ItemCommitted | ItemEnded]) -> None:
        """Put events into the outbox, and take note of the rest.

        Raises:
            SlowReader: too much has been in the outbox before these already.
        """
        if self._unread > MAX_UNREAD:
            raise SlowReader
        for each in told:
            match each:
                case ItemCommitted(item_id, audio_s):
                    self._items[item_id] = (Trace(item_id), audio_s)
                case ItemEnded(item_id, error):
                    status, code = (200, None) if error is None else (error.status, error.code)
                    self._record(item_id, status, code)
                case str():
                    self._outbox.append(each)
                    self._unread += len(each)
        self._cancel_unwanted()
        for waiting in (self._something_to_write, self._work_may_have_come, self._progress):
            waiting.set()

    def _cancel_unwanted(self) -> None:
        """Take back a step under way that nobody waits for any more."""
        if self._step:
            work, task = self._step
            if not self._session.wants(work):
                task.cancel()

    async def _write(self) -> Close:
        while True:
            while self._outbox:
                text = self._outbox[0]
                try:
                    await self._websocket.send_text(text)
                except (RuntimeError, WebSocketDisconnect):
                    raise ClientGone from None
                self._outbox.popleft()
                self._unread -= len(text)
                await asyncio.sleep(0)  # a client that reads is written to without waiting; there may be thousands
            self._progress.set()
            self._something_to_write.clear()
            await self._something_to_write.wait()

    # -- working -------------------------------------------------------------------------------------------------------

    async def _work(self) -> Close:
        while True:
            self._work_may_have_come.clear()
            async with self._using:
                work = self._session.next_work()
            if work is None:
                await self._work_may_have_come.wait()
            else:
                await self._do(work)

    async def _do(self, work: Work) -> None:
        """Have work done, and bring the result back."""
        back: Callable[[], list[Output]]
        try:
            if isinstance(work, ItemWork):
                back = partial(self._session.transcribed, work, await self._transcribe(work))
            elif heard := await self._advance(work):
                back = partial(self._session.heard, work, heard)
            else:
                back = partial(self._session.abandoned, work)
        except ServiceError as error:
            back = partial(self._session.failed, work, error)
        except Exception:
            log.exception("%s: work failed", self._params.session_id)
            internal = ServiceError("The server met an unexpected error. Other items are not affected.")
            back = partial(self._session.failed, work, internal)
        is_long = isinstance(work, ItemWork) or work.live.token_count > LONG_TEXT
        async with self._using:
            self._give_out(await self._beside_the_loop(self._told, back) if is_long else self._told(back))

    async def _transcribe(self, work: ItemWork) -> Transcript:
        shared, item = self._shared, work.item
        async with shared.scheduler.admit() as admission:
            return await shared.transcription.transcribe(
                admission,
                ItemAudio(item.samples),
                self._items[item.item_id][0].measured,
                priority=Priority.HIGH,  # its speaker waits for it, live text goes on
                keywords=item.config.keywords,
            )

    async def _advance(self, work: StepWork) -> StepResult | None:
        """Return what the model heard; None where nobody wanted it any more."""
        task = asyncio.create_task(self._heard(work))
        self._step = (work, task)
        try:
            await asyncio.wait({task})
        finally:
            self._step = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return None if task.cancelled() else task.result()

    async def _heard(self, work: StepWork) -> StepResult:
        async with self._shared.scheduler.admit() as admission:
            return await self._shared.scheduler.advance(admission, work.step)

    # -- ending --------------------------------------------------------------------------------------------------------

    async def _end_when_asked(self) -> Close:
        await self._seat.should_end.wait()
        await self._finished()
        return STOPPING

    async def _finished(self) -> None:
        """Return when every committed item has its text, and the client has read it."""
        await self._until(lambda: self._session.idle and not self._outbox)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._progress.clear()
            await self._progress.wait()

    def _record_unfinished(self) -> None:
        for item_id in list(self._items):
            self._record(item_id, CLIENT_CLOSED, "client_closed")

    def _record(self, item_id: str, status: int, code: str | None) -> None:
        trace, audio_s = self._items.pop(item_id)
        trace.status, trace.code = status, code
        trace.measured.audio_len_s = audio_s
        model = self._shared.settings.model_name
        write_trace(trace, self._shared.metrics, model=model, route=self._route, label=f"WS {self._route} item")


def _limits(settings: Settings) -> SessionLimits:
    """Return what holds for every session."""
    return SessionLimits(
        settings.max_audio_seconds,
        Windowing.from_settings(settings),
        partials=settings.realtime_partials,
        final_from_stream=settings.realtime_final == "stream",
    )


async def _within(limit_s: float, waiting: Awaitable[None]) -> None:
    """Wait, but not for longer than that."""
    with suppress(TimeoutError):
        await asyncio.wait_for(waiting, limit_s)
