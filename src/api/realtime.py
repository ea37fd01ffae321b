"""`WS /v1/realtime`: the connection around a realtime session. It reads, waits and writes; the session decides."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from fastapi import APIRouter, Request, WebSocket
from starlette.websockets import WebSocketDisconnect

from src.api.dependencies import Services, services_of
from src.api.errors import error_response
from src.api.item_traces import ItemTraces
from src.api.outbox import Outbox, SlowReader
from src.api.realtime_handshake import read_handshake
from src.api.session_slots import SessionSlot
from src.engine.model import StepResult, StreamStep
from src.errors import ClientGone, QueueFull, ServiceError, UpgradeRequired
from src.memory.budget import Reservation
from src.notifier import Notifier
from src.realtime import events
from src.realtime.items import Item
from src.realtime.outputs import (
    Cancelled,
    CancelWork,
    ItemCommitted,
    ItemEnded,
    ItemWork,
    Notice,
    Output,
    StepWork,
    Work,
    WorkOutcome,
)
from src.realtime.session import Session
from src.realtime.session_limits import SessionLimits
from src.realtime.session_params import SessionParams
from src.scheduling.jobs import Priority
from src.text.transcript import Transcript
from src.transcription.audio_source import ItemAudio
from src.wire.model_names import ServedModel

log = logging.getLogger("src.access")

router = APIRouter(tags=["realtime"])

ROUTE = "/v1/realtime"

MIN_DECODE_S = 0.1
"""Appended audio is decoded once there is this much of it, as a call costs the same for any less."""
LONG_TEXT_TOKENS = 1000
"""From this many tokens on, live text is assembled in a thread, as final text always is. With times and log
probabilities, hours of it take seconds."""
LONG_MESSAGE_CHARS = 1 << 16
"""From this many characters on, a message is parsed in a thread."""
MESSAGE_COPIES = 5
"""How many times a message is in memory while it is parsed: itself, its audio as text, and that as it is decoded."""
FINISH_S = 30.0
"""How long a session that has timed out may take to finish the items that were committed."""


class Close(NamedTuple):
    """How a connection is closed (RFC 6455, 7.4.1)."""

    code: int
    reason: str = ""


CLOSED_WITHOUT_CODE = 1005
INTERNAL = Close(1011, "The server met an unexpected error.")
TOO_SLOW = Close(1013, "The client does not read what it is sent.")
STOPPING = Close(1001, "The server is shutting down.")


_Result = TypeVar("_Result")


@router.head(ROUTE, include_in_schema=False)
@router.get(ROUTE, include_in_schema=False)
async def upgrade_required(request: Request) -> None:
    """Answer a plain HTTP request: this path is a WebSocket."""
    raise UpgradeRequired(f"{request.scope['path']} is a WebSocket: connect to it with ws:// or wss://.")


@router.websocket(ROUTE)
async def realtime(websocket: WebSocket) -> None:
    """Serve one session."""
    services = services_of(websocket.app)
    served = services.served_model_for(websocket.scope)
    route: str = websocket.scope["route"].path
    try:
        params = read_handshake(websocket, services.settings, served)
        services.scheduler.check_ready()
        services.sessions.check_available()
    except ServiceError as error:
        log.info("WS %s refused: %d %s", route, error.status, error.code)
        await websocket.send_denial_response(error_response(error))
        return
    with services.sessions.acquire() as slot, services.session_audio.reserved(guaranteed=True) as memory:
        subprotocol = "realtime" if "realtime" in websocket.scope["subprotocols"] else None
        await websocket.accept(subprotocol, [(b"x-request-id", params.session_id.encode())])
        await _Connection(websocket, services, served, params, slot, memory).run()


class _Connection:
    """One connection: tasks that read, write and work, around a session that one of them at a time calls.

    The task that ends first decides how the connection is closed.
    """

    def __init__(
        self,
        websocket: WebSocket,
        services: Services,
        served: ServedModel,
        params: SessionParams,
        slot: SessionSlot,
        memory: Reservation,
    ) -> None:
        self._websocket = websocket
        self._route: str = websocket.scope["route"].path
        self._services = services
        self._session_id = params.session_id
        self._slot = slot
        self._session = Session(
            params,
            SessionLimits.from_settings(services.settings),
            served,
            services.scheduler.languages,
            services.detector.new_stream,
            lambda kind: f"{kind}_{uuid.uuid4().hex[:24]}",
            memory,
        )
        self._session_lock = asyncio.Lock()  # held during each call of the session, which may run in a thread
        self._changes = Notifier()
        self._outbox = Outbox(self._changes)
        self._traces = ItemTraces(services.metrics, services.settings.model_name, self._route)
        self._events_encoded = 0
        self._client_close_code = CLOSED_WITHOUT_CODE
        self._step: asyncio.Task[StepResult] | None = None
        self._may_have_work = False

    async def run(self) -> None:
        """Serve the session to its end."""
        started = time.monotonic()
        self._deliver(self._call(self._session.open))
        parts = (self._read(), self._write(), self._work(), self._end_on_request())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            close = self._close_after(done.pop())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._traces.end_all()
        if close:
            await self._close(close)
        code = close.code if close else self._client_close_code
        log.info("WS %s %d in %.3f s, %s", self._route, code, time.monotonic() - started, self._session_id)

    def _close_after(self, ended: asyncio.Task[Close]) -> Close | None:
        """Return how to close the connection after a task has ended; None if the client has closed it."""
        error = ended.exception()
        if error is None:
            return ended.result()
        if isinstance(error, SlowReader):
            return TOO_SLOW
        if isinstance(error, ClientGone):
            return None
        log.error("%s failed", self._session_id, exc_info=error)
        return INTERNAL

    async def _close(self, close: Close) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):  # the client has closed it first
            await self._websocket.close(close.code, close.reason)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _read(self) -> Close:
        """Process messages until the session times out."""
        settings = self._services.settings
        loop = asyncio.get_running_loop()
        expires = loop.time() + settings.realtime_session_s
        while True:
            idle_until = loop.time() + settings.realtime_idle_s
            try:
                async with asyncio.timeout_at(min(expires, idle_until)):
                    await self._changes.until(lambda: not self._session.backlogged)
                    message = await self._receive()
            except TimeoutError:
                if loop.time() < expires and not self._session.idle:
                    continue  # the client is waiting for a text
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._finished(), FINISH_S)
                return self._timed_out(is_expired=expires <= idle_until)
            self._services.sessions.touch(self._slot)
            await self._process(message)
            await asyncio.sleep(0)  # short messages need not wait: thousands of them would hold up the event loop

    def _timed_out(self, *, is_expired: bool) -> Close:
        settings = self._services.settings
        if is_expired:
            minutes = settings.realtime_session_s / 60
            return Close(1001, f"Your session hit the maximum duration of {minutes:g} minutes.")
        return Close(1001, f"Your session was idle for {settings.realtime_idle_s:g} seconds.")

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            self._client_close_code = message.get("code") or CLOSED_WITHOUT_CODE
            raise ClientGone
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def _process(self, message: str | bytes) -> None:
        """Process a message. A long one waits for memory and is parsed in a thread."""
        try:
            if len(message) < LONG_MESSAGE_CHARS:
                await self._process_event(events.parse(message))
                return
            async with self._services.parsing_memory.reserved(MESSAGE_COPIES * len(message)):
                await self._process_event(await self._in_thread(events.parse, message))
        except (events.InvalidEvent, QueueFull) as error:
            async with self._session_lock:
                self._deliver(self._call(self._session.reject, error))

    async def _process_event(self, event: events.ClientEvent) -> None:
        """Pass an event to the session, in a thread unless it only appends a little audio."""
        async with self._session_lock:
            if not isinstance(event, events.Append):
                self._deliver(await self._in_thread(self._call, self._session.receive, event))
                return
            self._deliver(self._call(self._session.receive, event))
            if self._session.undecoded_s >= MIN_DECODE_S:
                self._deliver(await self._in_thread(self._call, self._session.process_audio))

    async def _in_thread(self, function: Callable[..., _Result], *args: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._services.realtime_pool, function, *args)

    # -- the session's outputs -----------------------------------------------------------------------------------------

    def _call(self, method: Callable[..., list[Output]], *args: Any) -> list[str | Notice]:
        """Call a method of the session and return its outputs, the events as JSON."""
        return [self._encoded(each) if isinstance(each, events.ServerEvent) else each for each in method(*args)]

    def _encoded(self, event: events.ServerEvent) -> str:
        self._events_encoded += 1
        return event.encoded(f"event_{self._events_encoded:06d}_{self._session_id[5:15]}")

    def _deliver(self, outputs: Sequence[str | Notice]) -> None:
        """Queue the events for the client, act on the notices, and wake the tasks that wait for a change.

        Raises:
            SlowReader: too many events were waiting already.
        """
        self._outbox.put(each for each in outputs if isinstance(each, str))
        for each in outputs:
            match each:
                case ItemCommitted(item_id, audio_s):
                    self._traces.begin(item_id, audio_s)
                case ItemEnded(item_id, error):
                    self._traces.end(item_id, error)
                case CancelWork() if self._step:
                    self._step.cancel()
        self._may_have_work = True
        self._changes.notify()

    async def _write(self) -> Close:
        """Send events until the client has gone."""
        await self._outbox.send(self._send)

    async def _send(self, message: str) -> None:
        try:
            await self._websocket.send_text(message)
        except (RuntimeError, WebSocketDisconnect):
            raise ClientGone from None

    # -- work for the model --------------------------------------------------------------------------------------------

    async def _work(self) -> Close:
        """Run the session's work, one after the other."""
        while True:
            self._may_have_work = False
            async with self._session_lock:
                work = self._session.next_work()
            if work is None:
                await self._changes.until(lambda: self._may_have_work)
            else:
                await self._run_work(work)

    async def _run_work(self, work: Work) -> None:
        outcome = await self._outcome_of(work)
        is_long = isinstance(work, ItemWork) or work.live.token_count > LONG_TEXT_TOKENS
        async with self._session_lock:
            if is_long:
                self._deliver(await self._in_thread(self._call, self._session.finish, work, outcome))
            else:
                self._deliver(self._call(self._session.finish, work, outcome))

    async def _outcome_of(self, work: Work) -> WorkOutcome:
        try:
            return await (self._transcribe(work.item) if isinstance(work, ItemWork) else self._decode(work))
        except ServiceError as error:
            return error
        except Exception:
            log.exception("%s: work failed", self._session_id)
            return ServiceError("The server met an unexpected error. Other items are not affected.")

    async def _transcribe(self, item: Item) -> Transcript:
        async with self._services.scheduler.admit() as admission:
            return await self._services.transcription.transcribe(
                admission,
                ItemAudio(item.samples),
                self._traces.measured(item.item_id),
                priority=Priority.HIGH,  # its speaker waits for it; live text can wait
                keywords=item.config.keywords,
            )

    async def _decode(self, work: StepWork) -> StepResult | Cancelled:
        """Return the result of a step, unless a `CancelWork` comes first."""
        self._step = asyncio.create_task(self._advance(work.step))
        try:
            await asyncio.wait({self._step})
            return Cancelled() if self._step.cancelled() else self._step.result()
        finally:
            step, self._step = self._step, None
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)

    async def _advance(self, step: StreamStep) -> StepResult:
        async with self._services.scheduler.admit() as admission:
            return await self._services.scheduler.advance(admission, step)

    # -- ending --------------------------------------------------------------------------------------------------------

    async def _end_on_request(self) -> Close:
        """End when the server needs the slot or stops."""
        await self._slot.should_end.wait()
        await self._finished()
        return STOPPING

    async def _finished(self) -> None:
        """Return when every committed item has ended and every event was sent."""
        await self._changes.until(lambda: self._session.idle and self._outbox.is_empty)
