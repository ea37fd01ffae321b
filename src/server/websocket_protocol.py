"""WebSockets."""

import asyncio
import logging
import math
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from src.memory.budget import Budget, Reservation
from src.server.eviction import CLOSING, COMING
from src.server.transport import Transport
from src.server.websocket_handshake import Handshake

log = logging.getLogger("src.access")

LINGER_S = 5.0
"""How long a client may go on sending what nobody wants: it would not see the answer of a connection that is closed
under it, but one that never ends must not keep it."""
MESSAGE_PATIENCE_S = 2.0
"""How long a WebSocket message waits where there is no memory for it."""
SLOW_MESSAGE_S = 5.0
"""A message that has been coming for longer than this gives way then; where there is none, the one that waited does."""
RETRY_S = 0.05
CLOSED_ABNORMALLY = 1006
MAX_UNREAD_BYTES = 4 * 1024 * 1024
"""What may wait for a client to read it. The answers to its pings wait for nothing; all else stops at an event more
than 64 KiB."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's for WebSockets.

    A handshake is answered in time, whatever it is like. A connection that is closed has an end, also where the client
    does not read: the close is written behind what it has left unread. Fragments take one piece of memory for each
    message, and messages that have not come to their end, or that wait, are within a budget.

    Args:
        options: uvicorn's own.
        head_s: how long the answer to the handshake may take.
        memory: for messages; where it is full, the one that has been coming for longest gives way.
    """

    transport: Transport  # type: ignore[assignment] # uvicorn's in all that it uses
    is_cut = False
    """Whether it has been closed to make room."""

    def __init__(self, *options: Any, head_s: float, memory: Budget, **named: Any) -> None:
        super().__init__(*options, **named)
        self.conn = Handshake(
            extensions=self.conn.available_extensions, max_size=self.config.ws_max_size, logger=self.logger
        )
        self._head_s = head_s
        self._early = b""  # what came before the handshake was answered
        self._memory = memory
        self._held: Reservation | None = None
        self._queued_bytes = 0
        self._coming_since = self._stalled_since = math.inf
        self._stalled = b""  # what came when there was no memory for it
        self._is_deaf = False
        self.waiting_since = self.loop.time()

    @property
    def standing(self) -> int | None:
        """How it gives way to others: `CLOSING`, `COMING`, or not at all."""
        if self.transport.is_closing() or self.close_sent:
            return CLOSING
        return None if self.handshake_complete else COMING

    def cut(self) -> None:
        """Close it at once."""
        self.is_cut = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as above
        """Take a connection over from HTTP."""
        super().connection_made(Transport(transport, self._close))  # type: ignore[arg-type] # one in all that it uses
        self.loop.call_later(self._head_s, self._expire)

    def data_received(self, data: bytes) -> None:
        """Take what has come; frames that do not wait for the answer to the handshake wait themselves."""
        if self.transport.is_closing() and not self.close_sent:
            return
        if self.handshake_initiated and not self.handshake_complete:
            self._early += data
            self._pause_reading()
            return
        data, self._stalled = self._stalled + data, b""
        if self._is_deaf or (self.handshake_complete and not self._has_room(data)):
            return
        super().data_received(data)
        self._note_what_is_coming()
        if self.conn.handshake_exc is not None and not self.close_sent:
            self._tell_what_is_broken(self.conn.handshake_exc)

    def eof_received(self) -> None:
        """Note that the client sends no more: asyncio closes the connection once all is written."""
        self.loop.call_later(self.close_timeout, self.transport.abort)

    async def send(self, message: Any) -> None:
        """Send an ASGI message."""
        if message["type"] == "websocket.close":
            self.writable.set()
            self.loop.call_later(self.close_timeout, self.transport.abort)
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal; without this, uvicorn takes it for an error and logs it
        if message["type"] == "websocket.accept" and self._early:
            early, self._early = self._early, b""
            self.data_received(early)
            if self.queue.empty():
                self.read_paused = False
                self.transport.resume_reading()

    def handle_cont(self, event: Any) -> None:
        """Take a fragment. As one more object each, millions of a byte or none would take far more than they hold."""
        frames: list[Any] = self.frames
        if not isinstance(frames[0], bytearray):
            frames[0] = bytearray(frames[0])
        frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Hand a message over."""
        if not self.close_sent:
            self._queued_bytes += sum(map(len, self.frames))
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """Give the application its next message, whose memory is its own to count then."""
        message = await super().receive()
        if self.queue.empty():
            self._queued_bytes = 0
            self._note_what_is_coming()
        return message

    def handle_parser_exception(self) -> None:
        """End a connection whose client has sent what cannot be, such as a message that is too large."""
        sent = self.conn.close_sent
        self._hang_up(sent.code if sent else CLOSED_ABNORMALLY, sent.reason if sent else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        if self._held:
            self._held.release()
        super().connection_lost(exc)

    def handle_ping(self) -> None:
        """Answer a ping, but not for ever where the answers are not read."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()

    def _pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    @property
    def _coming_bytes(self) -> int:
        """What has come of a message that has not come to its end."""
        return len(self.conn.reader.buffer) + sum(map(len, self.frames))

    @property
    def _unread_bytes(self) -> int:
        return self._coming_bytes + self._queued_bytes

    def _note_what_is_coming(self) -> None:
        if self._held:
            self._held.resize(self._unread_bytes)
        if not self._coming_bytes:
            self._coming_since = math.inf
        elif self._coming_since == math.inf:
            self._coming_since = self.loop.time()

    def _has_room(self, data: bytes) -> bool:
        """Count what has come; where there is no room for it, keep it and read no more until there is."""
        if self._held is None:
            self._held = self._memory.reserve(guaranteed=True)
        size_bytes = self._unread_bytes + len(data)
        if self._held.resize(size_bytes) or self._held.overdraw(size_bytes):
            self._stalled_since = math.inf
            return True
        now = self.loop.time()
        self._stalled_since = min(self._stalled_since, now)
        if now - self._stalled_since >= MESSAGE_PATIENCE_S:
            slowest = self._slowest()
            (slowest or self)._give_way()
            if slowest is None or self._held.resize(size_bytes):
                return slowest is not None
        self._stalled = data
        self._pause_reading()
        self.loop.call_later(RETRY_S, self._try_again)
        return False

    def _try_again(self) -> None:
        if not self._stalled or self.transport.is_closing():
            return
        self.data_received(b"")
        if not self._stalled and self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()

    def _slowest(self) -> "WebSocketProtocol | None":
        """Return the other connection that has been at one message for longest, and for long."""
        others = [each for each in self.connections if isinstance(each, WebSocketProtocol) and each is not self]
        slow = [each for each in others if each._held and each._held.bytes > each._held.guaranteed_bytes]
        slowest = min(slow, key=lambda each: each._coming_since, default=None)
        return slowest if slowest and slowest._coming_since < self.loop.time() - SLOW_MESSAGE_S else None

    def _give_way(self) -> None:
        log.info("WS closed with 1013: messages fill the memory that there is for them")
        self.conn.fail(1013, "Other messages fill the server's memory. Try again later.")
        self._hang_up(1013, "")

    def _hang_up(self, code: int, reason: str) -> None:
        """Write the close, and take what still comes for a while: under a closed socket the client would not see why.

        What has come of its message is forgotten at once.
        """
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = self._is_deaf = True
        self.frames, self._stalled = [], b""
        self.conn.reader.discard()
        if self._held:
            self._held.resize(0)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.transport.close()

    def _tell_what_is_broken(self, broken: Exception) -> None:
        """Answer a head that is no handshake: for one that is too large websockets has an answer, else it has none."""
        told = b"".join(self.conn.data_to_send())
        if not told:
            told = self.conn.reject(HTTPStatus.BAD_REQUEST, f"{broken}: {broken.__cause__}.").serialize()
        self.handshake_complete = self.close_sent = True
        self.transport.write(told)
        self.transport.close()

    def _expire(self) -> None:
        if not self.handshake_complete:
            log.info("WS refused: its handshake was not answered within %g s", self._head_s)
            self.transport.abort()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close it, also where the client does not read what is left; after a hang-up, give it time to read why."""
        if self._is_deaf:  # it ends with the client's end, or with that of the time
            self.loop.call_later(LINGER_S, transport.abort)
            return
        transport.close()
        self.loop.call_later(self.close_timeout, transport.abort)
