"""`WS /v1/realtime`: the connection around a realtime session. It reads, waits and writes; the session decides."""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from fastapi import APIRouter, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from src.api.audio_clock import AudioClock
from src.api.auth import client_of
from src.api.dependencies import Services, services_of
from src.api.direct_messages import take_messages
from src.api.errors import refuse_handshake
from src.api.item_traces import ItemTraces
from src.api.outbox import Outbox, SlowReader
from src.api.realtime_handshake import read_handshake
from src.api.session_calls import SessionCalls
from src.api.session_listener import SessionListener
from src.api.session_slots import SessionSlot
from src.api.session_timeouts import SessionTimeouts
from src.api.session_worker import SessionWorker
from src.errors import ClientGone, QueueFull, ServiceError, UpgradeRequired
from src.memory.budget import Reservation
from src.notifier import Notifier
from src.realtime import events
from src.realtime.outputs import CancelWork, ItemCommitted, ItemEnded, Notice
from src.realtime.session import Session
from src.realtime.session_limits import SessionLimits
from src.realtime.session_params import SessionParams
from src.wire.model_names import ServedModel

log = logging.getLogger("src.access")

router = APIRouter(tags=["realtime"])

ROUTE = "/v1/realtime"

MESSAGES_AT_ONCE = 16
"""After so many messages that need no wait, other tasks have their turn: thousands would hold up the event loop."""
LONG_MESSAGE_CHARS = 1 << 16
"""From this many characters on, a message is parsed in a thread."""
MESSAGE_COPIES = 5
"""How many times a message is in memory while it is parsed: itself, its audio as text, and that as it is decoded."""
FINISH_S = 30.0
"""How long a session that has timed out may take to finish its items."""
TAKE_IN_S = 1.0
"""How long a session that ends may take to process the messages that have come already."""
SETTLE_S = 0.03
"""If no message comes for so long, none was waiting on the way to the session."""


class Close(NamedTuple):
    """How a connection is closed (RFC 6455, 7.4.1)."""

    code: int
    reason: str = ""


CLOSED_WITHOUT_CODE = 1005
INTERNAL = Close(1011, "The server met an unexpected error.")
TOO_SLOW = Close(1013, "The client does not read what it is sent.")
STOPPING = Close(1001, "The server is shutting down.")


@router.head(ROUTE, include_in_schema=False)
@router.get(ROUTE, include_in_schema=False)
async def upgrade_required(request: Request) -> None:
    """Answer a plain HTTP request with the error that a WebSocket would get, or that this path is one.

    A browser does not tell a page why a WebSocket was refused, so the page asks again in this way.
    """
    services = services_of(request.app)
    _accepted_handshake(request, services, services.served_model_for(request.scope))
    raise UpgradeRequired(f"{request.scope['path']} is a WebSocket: connect to it with ws:// or wss://.")


@router.websocket(ROUTE)
async def realtime(websocket: WebSocket) -> None:
    """Serve one session."""
    services = services_of(websocket.app)
    served = services.served_model_for(websocket.scope)
    try:
        params = _accepted_handshake(websocket, services, served)
    except ServiceError as error:
        await refuse_handshake(websocket, error)
        return
    with services.sessions.acquire() as slot, services.session_audio.reserved(guaranteed=True) as memory:
        subprotocol = "realtime" if "realtime" in websocket.scope["subprotocols"] else None
        await websocket.accept(subprotocol, [(b"x-request-id", params.session_id.encode())])
        await _Connection(websocket, services, served, params, slot, memory).run()


def _accepted_handshake(connection: HTTPConnection, services: Services, served: ServedModel) -> SessionParams:
    """Return what a connection says about its client, if a session can be opened for it now.

    Raises:
        ServiceError: it is not valid, or the service is not ready or full.
    """
    params = read_handshake(connection, services.settings, served)
    services.scheduler.check_ready()
    services.sessions.check_available()
    return params


class _Connection:
    """One connection: tasks that read, listen, work and write, around a session that one of them at a time calls.

    The task that ends first decides how the connection is closed. An append of audio, by far the commonest message,
    wakes none of them if it is short and comes while the one that reads waits for a message.
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
            services.identifier.identify,
        )
        self._calls = SessionCalls(self._session_id, services.realtime_pool, self._deliver)
        self._changes = Notifier()
        self._outbox = Outbox(self._changes)
        self._traces = ItemTraces(services.metrics, services.settings.model_name, self._route)
        scheduler = services.scheduler
        self._listener = SessionListener(
            self._session, self._calls, services.audio_batcher, lambda: scheduler.step_s, lambda: self._worker.go_on()
        )
        self._clock = AudioClock()
        client = client_of(websocket)
        self._worker = SessionWorker(
            services, self._session, self._calls, self._traces, self._clock, client, self._listener.check
        )
        self._client_close_code = CLOSED_WITHOUT_CODE
        self._messages_read = 0
        self._awaits_message = False
        self._is_ending = False
        self._has_ended = False

    async def run(self) -> None:
        """Serve the session to its end."""
        started = time.monotonic()
        close: Close | None = None
        try:
            close = await self._serve()
            if close:
                await self._close(close)
        finally:  # also if the server cancels this, as some do when the client has left
            code = close.code if close else self._client_close_code
            log.info("WS %s %d in %.3f s, %s", self._route, code, time.monotonic() - started, self._session_id)

    async def _serve(self) -> Close | None:
        """Serve the session until one of its tasks ends, and return how to close the connection."""
        self._services.realtime_pool.submit(self._services.detector.load)  # it may be needed in the event loop
        await self._calls.now(self._session.open)
        parts = (self._listener.run(), self._worker.run(), self._end_on_request(), self._time_out())
        tasks: list[asyncio.Task[Close]] = [asyncio.create_task(part) for part in (self._read(), self._write(), *parts)]
        try:
            take_messages(self._websocket.scope, self._take_append)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return self._close_after(done.pop())
        finally:
            take_messages(self._websocket.scope, None)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._traces.end_all()

    def _close_after(self, ended: asyncio.Task[Close]) -> Close | None:
        """Return how to close the connection after a task has ended; None if the client has closed it."""
        error = None if ended.cancelled() else ended.exception()
        if error is None:
            return INTERNAL if ended.cancelled() else ended.result()
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

    async def _read(self) -> NoReturn:
        """Process messages as they come; drop those that come once the session has ended."""
        while True:
            if not self._may_read():
                await self._changes.until(self._may_read)
            message = await self._receive()
            if not self._has_ended:
                self._services.sessions.touch(self._slot)
                await self._process(message)
            self._messages_read += 1
            if not self._messages_read % MESSAGES_AT_ONCE or not self._outbox.is_empty:
                await asyncio.sleep(0)

    def _may_read(self) -> bool:
        return self._has_ended or not self._session.backlogged

    async def _receive(self) -> str | bytes:
        self._awaits_message = True
        if self._is_ending:
            self._changes.notify()
        message = await self._websocket.receive()
        self._awaits_message = False
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
                loop, threads = asyncio.get_running_loop(), self._services.realtime_pool
                await self._process_event(await loop.run_in_executor(threads, events.parse, message))
        except (events.InvalidEvent, QueueFull) as error:
            await self._calls.now(self._session.reject, error)

    async def _process_event(self, event: events.ClientEvent) -> None:
        """Pass an event to the session, in a thread unless it only appends audio."""
        if isinstance(event, events.Append):
            await self._calls.now(self._session.receive, event)
            self._begin_clock()
            await self._listener.audio_came()
        else:
            await self._calls.in_thread(self._session.receive, event)
            self._listener.check()
            self._worker.wake()

    def _take_append(self, message: bytes) -> bool:
        """Process a short message at once and return True if it appends audio and nothing is in the way of that."""
        is_free = self._awaits_message and self._may_read() and not (self._is_ending or self._calls.lock.locked())
        if not (is_free and self._listener.has_room and self._outbox.is_empty):
            return False
        append = events.plain_append(message)
        if append is None:
            return False
        self._services.sessions.touch(self._slot)
        self._calls.deliver(self._session.receive(append))
        self._begin_clock()
        self._listener.note_audio()
        return True

    def _begin_clock(self) -> None:
        if not self._clock.has_begun:
            self._clock.begin(self._session.received_s, asyncio.get_running_loop().time())

    # -- the session's outputs -----------------------------------------------------------------------------------------

    def _deliver(self, outputs: Sequence[str | Notice]) -> None:
        """Queue the events for the client, and act on the notices.

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
                case CancelWork():
                    self._worker.cancel_step()
        self._changes.notify()

    async def _write(self) -> NoReturn:
        """Send events until the client has gone."""
        await self._outbox.send(self._send)

    async def _send(self, message: str) -> None:
        try:
            await self._websocket.send_text(message)
        except (RuntimeError, WebSocketDisconnect):
            raise ClientGone from None

    # -- ending --------------------------------------------------------------------------------------------------------

    async def _time_out(self) -> Close:
        """End when the session is too old or idle."""
        settings, sessions = self._services.settings, self._services.sessions
        timeouts = SessionTimeouts(settings.realtime_session_s, settings.realtime_idle_s)
        started = time.monotonic()
        while True:
            age_s = time.monotonic() - started
            is_awaited = not (self._awaits_message and self._session.idle)
            left_s = timeouts.left_s(age_s, sessions.idle_s(self._slot), is_awaited=is_awaited)
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finish(), FINISH_S)
        return Close(1001, timeouts.reason(age_s))

    async def _end_on_request(self) -> Close:
        """End when the server needs the slot or stops."""
        await self._slot.should_end.wait()
        await self._finish()
        return STOPPING

    async def _finish(self) -> None:
        """Commit what has come, and return when every item has ended and every event was sent."""
        self._is_ending = True
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKE_IN_S):
                await self._take_in()
        self._has_ended = True
        await self._calls.in_thread(self._session.end)
        self._worker.wake()
        await self._changes.until(lambda: self._session.idle and self._outbox.is_empty)

    async def _take_in(self) -> None:
        """Return once all messages are processed that have come, or none more may be read."""
        read = -1
        while read != self._messages_read:
            read = self._messages_read
            await self._changes.until(lambda: self._awaits_message or self._session.backlogged)
            await asyncio.sleep(SETTLE_S)
