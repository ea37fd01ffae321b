"""WebSocket connections: uvicorn's protocol, with time limits and a memory budget for messages."""

import asyncio
import logging
import math
from http import HTTPStatus
from time import perf_counter
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

from src.api.direct_messages import EXTENSION, Taker
from src.memory.budget import Budget, Reservation
from src.server.eviction import EvictionRank
from src.server.http_errors import OnRefused
from src.server.plain_frames import plain_message
from src.server.transport import LINGER_S, ProtocolTransport
from src.server.websocket_handshake import JsonErrorProtocol

log = logging.getLogger("src.access")

FEED_BYTES = 16 * 1024
"""What is parsed at a time: at most 2,700 empty frames, which take 20 ms."""
MAX_TURN_S = 0.005
"""How long one connection is parsed before others have their turn. A segment of 256 KiB may take 0.4 s."""
MESSAGE_PATIENCE_S = 2.0
"""How long a message waits for memory before another connection, or its own, is closed."""
SLOW_MESSAGE_S = 5.0
"""Age of an incomplete message from which its connection may be closed to free memory. If there is no such connection,
the one that waited is closed."""
RETRY_S = 0.05
"""How often a message that waits for memory tries again."""
CLOSED_ABNORMALLY = 1006
"""Close code of a connection that ended without a close frame (RFC 6455, 7.1.5)."""
TRY_AGAIN_LATER = 1013
"""Close code of an overloaded server (IANA's registry of close codes)."""
MAX_WAITING = 64
"""Messages that may wait for the application before nothing more is read."""
MAX_WAITING_BYTES = 64 * 1024
"""Their size, likewise."""
INVALID_DATA = 1007
"""Close code for text that is not UTF-8 (RFC 6455, 7.4.1)."""
MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""Most data that may wait for a client to read it. Only answers to pings get so far: they wait for nothing. All else
stops at one event beyond 64 KiB."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, changed in four ways.

    A handshake is answered in time. An application may take short messages as they come (`src.api.direct_messages`). A
    closed connection ends even if its client does not read: the close frame is written after what the client has left
    unread. The fragments of a message are kept in one piece of memory, and messages that are incomplete or wait for the
    application are within a budget.

    Args:
        options: uvicorn's own.
        head_s: time limit for the answer to the handshake, in seconds.
        memory: budget for messages. If it is full, the connection with the oldest incomplete message is closed.
        on_refused: called for each handshake that is rejected in place of the application, or not answered in time.
    """

    transport: ProtocolTransport  # type: ignore[assignment] # a Transport in all that uvicorn uses
    is_evicted = False

    def __init__(self, *options: Any, head_s: float, memory: Budget, on_refused: OnRefused, **named: Any) -> None:
        super().__init__(*options, **named)
        self.conn = JsonErrorProtocol(
            on_refused, extensions=self.conn.available_extensions, max_size=self.config.ws_max_size, logger=self.logger
        )
        self._on_refused = on_refused
        self._head_s = head_s
        self._early = b""  # received before the handshake was answered
        self._memory = memory
        self._reservation: Reservation | None = None
        self._queued_bytes = 0
        self._incomplete_since = self._deferred_since = math.inf
        self._deferred = b""  # received when there was no memory for it, or others had their turn
        self._parses_later = False
        self._ignores_input = False
        self._taker: Taker | None = None
        self.waiting_since = self.loop.time()

    @property
    def eviction_rank(self) -> EvictionRank | None:
        """How early it is evicted; None once its handshake is complete, until it closes."""
        if self.transport.is_closing() or self.close_sent:
            return EvictionRank.CLOSING
        return None if self.handshake_complete else EvictionRank.WAITING

    def evict(self) -> None:
        """Close it at once."""
        self.is_evicted = True
        self.transport.abort()

    def shutdown(self) -> None:
        """End the connection as the server stops. If a close frame was sent, its answer still has its time.

        uvicorn would close at once. A client that goes on sending would then lose what it has not read yet: what it
        sends is answered by a reset.
        """
        if self.close_timer is None:  # it runs while an answer may come
            super().shutdown()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn declares it so
        """Take a connection over from HTTP."""
        super().connection_made(ProtocolTransport(transport, self._close))  # type: ignore[arg-type] # as `transport`
        self.loop.call_later(self._head_s, self._abort_unanswered)

    def data_received(self, data: bytes) -> None:
        """Handle data from the client. Frames that come before the handshake is answered wait for that."""
        if self._ignores_input or (self.transport.is_closing() and not self.close_sent):
            return
        if not self.handshake_initiated:
            self._parse(data)
        elif not self.handshake_complete:
            self._early += data
            self._pause_reading()
        else:
            self._deferred += data
            self._parse_deferred()

    def _parse_deferred(self) -> None:
        """Parse what has come, as long as there is memory for it and this connection's turn lasts."""
        turn_ends_at = perf_counter() + MAX_TURN_S
        while self._deferred and not self._parses_later:
            data, self._deferred = self._deferred[:FEED_BYTES], self._deferred[FEED_BYTES:]
            self._parse(data)
            if self._deferred and perf_counter() >= turn_ends_at:
                self._parse_after(0)

    def _parse_after(self, seconds: float) -> None:
        """Read nothing more, and go on with what was deferred after a while."""
        self._pause_reading()
        if not self._parses_later:
            self._parses_later = True
            self.loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._parses_later = False
        if self.transport.is_closing() and not self.close_sent:
            return
        self._parse_deferred()
        if self.queue.empty():
            self._resume_reading()

    def _parse(self, data: bytes) -> None:
        if self._taker:
            data = self._pass_plain_messages(data, self._taker)
            if not data:
                return
        if self.handshake_complete and not self._reserve_or_defer(data):
            return
        data = self._queue_plain_messages(data)
        if not data or self._ignores_input:
            return
        super().data_received(data)
        self._update_reservation()
        if self.conn.handshake_exc is not None and not self.close_sent:
            self._reject_handshake(self.conn.handshake_exc)

    def eof_received(self) -> None:
        """Handle the end of what the client sends: asyncio closes the connection once everything is written."""
        self.loop.call_later(self.close_timeout, self.transport.abort)

    async def send(self, message: Any) -> None:
        """Send an ASGI message."""
        if message["type"] == "websocket.close":
            self.writable.set()
            self.loop.call_later(self.close_timeout, self.transport.abort)
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # rejected; without this, uvicorn logs an error
        if message["type"] == "websocket.accept" and self._early:
            early, self._early = self._early, b""
            self.data_received(early)
            if self.queue.empty():
                self._resume_reading()

    def handle_cont(self, event: Any) -> None:
        """Append a fragment. One object for each would take far more than it holds: a client may send millions."""
        frames: list[Any] = self.frames
        if not isinstance(frames[0], bytearray):
            frames[0] = bytearray(frames[0])
        frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def handle_connect(self, event: Any) -> None:
        """Begin a handshake."""
        super().handle_connect(event)
        if hasattr(self, "scope"):  # the handshake is valid
            self.scope["extensions"][EXTENSION] = {"set": self._set_taker}

    def _set_taker(self, taker: Taker | None) -> None:
        self._taker = taker

    def _pass_plain_messages(self, data: bytes, taker: Taker) -> bytes:
        """Pass the messages that `data` begins with to the application, as far as each is one short frame of text and
        it takes them. Return the rest of `data`. What is never queued needs no memory of its own."""
        end = 0
        if self.queue.empty() and self._may_be_plain:
            while (message := plain_message(data, end)) and message.is_text and taker(message.payload):
                end = message.end
        return data[end:]

    def _queue_plain_messages(self, data: bytes) -> bytes:
        """Queue the messages that `data` begins with, as far as each is one short frame. Return the rest of `data`."""
        if not self._may_be_plain:
            return data
        end = 0
        while not self._ignores_input and (message := plain_message(data, end)):
            end = message.end
            self.curr_msg_data_type = "text" if message.is_text else "bytes"
            self.frames = [message.payload]
            self.send_receive_event_to_app()
        return data[end:]

    @property
    def _may_be_plain(self) -> bool:
        """Whether a frame that comes next may be a message by itself."""
        conn = self.conn
        is_open = conn.state is OPEN and conn.current_size is None and not conn.extensions
        return is_open and self._is_between_frames

    @property
    def _is_between_frames(self) -> bool:
        """Whether websockets' parser, which is a generator, waits for the first byte of a frame.

        That its buffer is empty does not tell: it takes the parts of a frame's head out one by one.
        """
        parser: Any = self.conn.parser  # a generator
        frames = parser.gi_yieldfrom
        waits_in = frames and frames.gi_yieldfrom
        return not self.conn.reader.buffer and waits_in is not None and waits_in.__name__ == "at_eof"

    def send_receive_event_to_app(self) -> None:
        """Queue a complete message for the application, unless that has closed the connection.

        uvicorn would pause reading until the application has the message: two system calls for each.
        """
        [data], self.frames = self.frames, []
        if self.close_sent:
            return
        try:
            content = {"text": data.decode()} if self.curr_msg_data_type == "text" else {"bytes": data}
        except UnicodeDecodeError:
            self._refuse_text()
            return
        message: Any = {"type": "websocket.receive", **content}
        self.queue.put_nowait(message)
        self._queued_bytes += len(data)
        if self._queued_bytes > MAX_WAITING_BYTES or self.queue.qsize() > MAX_WAITING:
            self._pause_reading()

    def _refuse_text(self) -> None:
        """Close the connection for text that is not UTF-8, unless the client's own close frame is parsed already.

        The parser reads all frames of a segment before the first is handled, and answers a close frame at once.
        """
        if self.conn.state is OPEN:
            self.conn.send_close(INVALID_DATA)
        self.handle_parser_exception()

    async def receive(self) -> Any:
        """Return the application's next message. From here on, the application accounts for its memory."""
        message = await self.queue.get() if self.queue.empty() else self.queue.get_nowait()
        if self.queue.empty():
            self._queued_bytes = 0
            self._update_reservation()
            self._resume_reading()
        return message

    def handle_parser_exception(self) -> None:
        """Close a connection whose client has sent something invalid, such as a message that is too large."""
        sent = self.conn.close_sent
        self._close_and_discard(sent.code if sent else CLOSED_ABNORMALLY, sent.reason if sent else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        if self._reservation:
            self._reservation.release()
        super().connection_lost(exc)

    def handle_ping(self) -> None:
        """Answer a ping; end the connection if too many answers wait for the client to read them."""
        if self._ignores_input:  # nothing more may be written
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()

    def _pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self.read_paused and not self._deferred:
            self.read_paused = False
            self.transport.resume_reading()

    # -- memory of messages --------------------------------------------------------------------------------------------

    @property
    def _incomplete_bytes(self) -> int:
        """Size of what has come of an incomplete message."""
        unparsed_bytes = len(self.conn.reader.buffer)
        return unparsed_bytes + sum(map(len, self.frames)) if self.frames else unparsed_bytes

    @property
    def _message_bytes(self) -> int:
        """Size of all messages that are incomplete or wait for the application."""
        return self._incomplete_bytes + self._queued_bytes

    def _update_reservation(self) -> None:
        """Reserve what messages take now, and note since when one is incomplete."""
        incomplete_bytes = self._incomplete_bytes
        if self._reservation:
            self._reservation.resize(incomplete_bytes + self._queued_bytes)
        if not incomplete_bytes:
            self._incomplete_since = math.inf
        elif self._incomplete_since == math.inf:
            self._incomplete_since = self.loop.time()

    def _reserve_or_defer(self, data: bytes) -> bool:
        """Reserve memory for `data`; if there is none, keep it, read nothing more until there is, and return False."""
        if self._reservation is None:
            self._reservation = self._memory.reserve(guaranteed=True)
        size_bytes = self._message_bytes + len(data)
        if self._reservation.resize(size_bytes) or self._reservation.overdraw(size_bytes):
            self._deferred_since = math.inf
            return True
        now = self.loop.time()
        self._deferred_since = min(self._deferred_since, now)
        if now - self._deferred_since >= MESSAGE_PATIENCE_S:
            slowest = self._slowest_other()
            (slowest or self)._close_for_memory()
            if slowest is None or self._reservation.resize(size_bytes):
                return slowest is not None
        self._deferred = data + self._deferred
        self._parse_after(RETRY_S)
        return False

    def _slowest_other(self) -> "WebSocketProtocol | None":
        """Return the other connection with the oldest incomplete message beyond its share, if that is old enough."""
        others = [each for each in self.connections if isinstance(each, WebSocketProtocol) and each is not self]
        large = [each for each in others if each._reservation and each._reservation.exceeds_guarantee]
        slowest = min(large, key=lambda each: each._incomplete_since, default=None)
        return slowest if slowest and slowest._incomplete_since < self.loop.time() - SLOW_MESSAGE_S else None

    def _close_for_memory(self) -> None:
        log.info("WS closed with 1013: messages fill the memory that there is for them")
        self.conn.fail(TRY_AGAIN_LATER, "Other messages fill the server's memory. Try again later.")
        self._close_and_discard(TRY_AGAIN_LATER, "")

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _close_and_discard(self, code: int, reason: str) -> None:
        """Write the close frame, and discard what the client still sends, so that it can see why.

        Its incomplete message is dropped at once.
        """
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = self._ignores_input = True
        self.frames, self._deferred = [], b""
        self.conn.reader.discard()
        if self._reservation:
            self._reservation.resize(0)
        self._resume_reading()
        self.transport.close()

    def _reject_handshake(self, error: Exception) -> None:
        """Answer a head that is not a handshake. websockets itself only answers one that is too large."""
        response = b"".join(self.conn.data_to_send())
        if not response:
            response = self.conn.reject(HTTPStatus.BAD_REQUEST, f"{error}: {error.__cause__}.").serialize()
        self.handshake_complete = self.close_sent = True
        self.transport.write(response)
        self.transport.close()

    def _abort_unanswered(self) -> None:
        if not self.handshake_complete:
            self._on_refused("WS", int(HTTPStatus.REQUEST_TIMEOUT), "request_timeout")
            self.transport.abort()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close the connection, even if the client reads nothing more; if input is ignored, only after a while."""
        if self._ignores_input:  # it ends when the client closes it, or with the time limit
            self.loop.call_later(LINGER_S, transport.abort)
            return
        transport.close()
        self.loop.call_later(self.close_timeout, transport.abort)
