"""Connections: uvicorn's protocols, with an end for clients that do not get on and an answer for each request.

Whatever a connection has become, it has a deadline until it is a session, and it gives way to new ones as long as the
server waits for its client: by silence, by a head or a body that does not come, by an answer that is not taken, by a
handshake that is not answered, or because it is being closed.
"""

import asyncio
import fcntl
import json
import logging
import math
import struct
import termios
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.server import ServerProtocol

from src.errors import error_body
from src.memory.budget import Budget, Reservation

log = logging.getLogger("src.access")

MAX_HEAD_BYTES = 32 * 1024
"""Largest request line and headers; one piece that is parsed may go beyond."""
PIECE_BYTES = 4096
"""What is parsed at a time, unless it is all of one body. A piece may hold 200 requests, and no more of them are begun
than may wait."""
LINGER_S = 5.0
"""How long a client may go on sending what nobody wants: it would not see the answer of a connection that is closed
under it, but one that never ends must not keep it."""
UNREAD_S = 60.0
"""How long a client may take none of an answer that waits for it."""
MIN_READ_BYTES_PER_S = 500.0
"""What it must take by the second after that."""
MESSAGE_PATIENCE_S = 2.0
"""How long a WebSocket message waits where there is no memory for it."""
SLOW_MESSAGE_S = 5.0
"""A message that has been coming for longer than this gives way then; where there is none, the one that waited does."""
RETRY_S = 0.05
CLOSED_ABNORMALLY = 1006
MAX_PIPELINED = 16
"""Requests that may wait on one connection for the answers to those before; what comes after is not read before."""
MAX_UNREAD_BYTES = 4 * 1024 * 1024
"""What may wait for a client to read it. The answers to its pings wait for nothing; all else stops at an event more
than 64 KiB."""

CLOSING, SILENT, COMING = 0, 1, 2
"""In which order connections give way to new ones: those that are closed, those without a request, those whose request
has not come, or whose answer is not taken."""


class Transport:
    """A connection's transport, whose `close` is decided by its protocol.

    Args:
        transport: asyncio's.
        close: called the first time that it shall be closed.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[asyncio.Transport], None]) -> None:
        self._transport = transport
        self._close = close
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing more may be written."""
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Close it, in whatever way is right."""
        if not self.is_closing():
            self._closing = True
            self._close(self._transport)


class Unread:
    """Cuts a client off that does not take what waits for it, judged by what it takes rather than by what is left."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._looking: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._bytes_at_first = 0

    def watch(self) -> None:
        """Watch from now on; again, do nothing."""
        if self._looking is None:
            self._since, self._bytes_at_first = self._loop.time(), self._bytes
            self._looking = self._loop.call_later(UNREAD_S, self._look)

    def rest(self) -> None:
        """Watch no more."""
        if self._looking:
            self._looking.cancel()
            self._looking = None

    @property
    def _bytes(self) -> int:
        """What has been written and has not reached the client; what the kernel holds of it comes and goes in lumps."""
        held = bytearray(4)
        try:
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
        except (OSError, ValueError):
            return self._transport.get_write_buffer_size()
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", held)[0])

    def _look(self) -> None:
        late_s = self._loop.time() - self._since - UNREAD_S
        if self._bytes_at_first - self._bytes < MIN_READ_BYTES_PER_S * late_s:
            self._transport.abort()
        else:
            self._looking = self._loop.call_later(UNREAD_S, self._look)


class Flow(FlowControl):
    """uvicorn's, which reads nothing while `full`."""

    full = False

    def resume_reading(self) -> None:
        """Read on, unless there is too much already."""
        if not self.full:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's for HTTP.

    The body of a request whose upgrade is declined is read like any other, each request gets one answer, also where
    what follows it is no HTTP, and every state has its end.

    Args:
        options: uvicorn's own.
        head_s: how long a client may take from its connection, or from a request's first byte, to the end of its head.
        most: connections beyond which those are closed whose client the server waits for.
    """

    transport: Transport  # type: ignore[assignment] # uvicorn's in all that it uses
    flow: Flow
    is_cut = False
    """Whether it has been closed to make room."""

    def __init__(self, *options: Any, head_s: float, most: int, **named: Any) -> None:
        super().__init__(*options, **named)
        self._head_s = head_s
        self._most = most
        self._in_head = True
        self._head_bytes = 0
        self._body_bytes = 0  # what is still to come of a body, where its length was declared
        self._unparsed = b""
        self._unanswered = 0  # requests whose head is here
        self._last_words: bytes | None = None  # the answer in place of the application's, after which nothing comes
        self._overdue: asyncio.TimerHandle | None = None  # ends the head, or what nobody wants
        self._unread: Unread
        self.waiting_since = self.loop.time()

    @property
    def waits(self) -> bool:
        """Whether no request is under way."""
        return self._unanswered == 0

    @property
    def standing(self) -> int | None:
        """How it gives way to others: `CLOSING`, `SILENT`, `COMING`, or not at all."""
        if self.transport.is_closing():
            return CLOSING
        if self.waits:
            return SILENT
        return COMING if self.flow.write_paused or (self._unanswered == 1 and self.cycle.more_body) else None

    def cut(self) -> None:
        """Close it at once."""
        self.is_cut = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn declares it so
        """Take a new connection."""
        super().connection_made(Transport(transport, self._close))  # type: ignore[arg-type] # one in all that it uses
        self.flow = Flow(transport)
        self._unread = Unread(transport, self.loop)
        self._expect(self._head_s, self._refuse_slow_head)
        if len(self.connections) > self._most:
            make_room(self.connections, self._most, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._expect_nothing()
        self._unread.rest()
        self._unparsed = b""
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Note that the client sends no more: asyncio closes the connection once all is written."""
        self._unread.watch()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if not self.transport.is_closing() and self._last_words is None:
            self._unparsed += data
            self._parse()

    def on_message_begin(self) -> None:
        """Note the beginning of a request."""
        super().on_message_begin()
        self._head_bytes = max(1, self._head_bytes)

    def on_headers_complete(self) -> None:
        """Note the end of a request's head, and begin to serve it, unless an upgrade is to be decided about first."""
        if self.parser.should_upgrade():
            return
        self._in_head = False
        self._head_bytes = 0
        self._unanswered += 1
        self.waiting_since = self.loop.time()
        self._expect_nothing()
        self._body_bytes = _declared_bytes(self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._body_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request; what comes now is the head of the next."""
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, but do not wait long for the rest of one that is answered."""
        self._unanswered -= 1
        self.waiting_since = self.loop.time()
        answered = self.cycle
        super().on_response_complete()
        self._say_last_words()
        if self.transport.is_closing():
            return
        if answered is self.cycle and answered.response_complete and answered.more_body:
            self._expect(LINGER_S, self.transport.abort)
        if self._unparsed and len(self.pipeline) < MAX_PIPELINED:
            self.flow.full = False
            self.flow.resume_reading()
            self._parse()

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as it is written to."""
        super().pause_writing()
        self._unread.watch()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._unread.rest()
        super().resume_writing()

    def _parse(self) -> None:
        """Parse what has come, as far as there is room for its requests."""
        self._unset_keepalive_if_required()
        rest = memoryview(self._unparsed)
        self._unparsed = b""
        while rest and not self.transport.is_closing() and self._last_words is None:
            if len(self.pipeline) >= MAX_PIPELINED:
                self._unparsed = bytes(rest)
                self.flow.pause_reading()
                self.flow.full = True
                return
            if self._in_head:
                self._head_bytes += len(rest[:PIECE_BYTES])
            rest = self._fed(rest)
            if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
                message = "The headers are too large."
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
        if self._in_head and self._overdue is None and not self.transport.is_closing():
            self._expect(self._head_s, self._refuse_slow_head)

    def _fed(self, data: memoryview) -> memoryview:
        """Parse the beginning of `data`, and return the rest."""
        size_bytes = max(PIECE_BYTES, self._body_bytes)
        try:
            self.parser.feed_data(data[:size_bytes])
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._is_handshake():
                self._upgrade(bytes(rest))
                return rest[:0]
            self._decline_upgrade()
            return rest
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", "Invalid HTTP request received.")
        return data[size_bytes:]

    def _is_handshake(self) -> bool:
        """Whether the head that has come is one of a WebSocket (RFC 6455, 4.1): a GET of HTTP/1.1 without a body."""
        asked = (value for name, value in self.headers if name == b"upgrade")
        if b"websocket" not in (token.strip().lower() for value in asked for token in value.split(b",")):
            return False
        has_body = any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
            for name, value in self.headers
        )
        return self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1" and not has_body

    def _upgrade(self, rest: bytes) -> None:
        """Hand the connection over, with what came behind the head; from now on it is not this object's."""
        if self._unanswered:
            message = "An upgrade must wait for the answers to the requests before it."
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid_handshake", message)
            return
        self._in_head = False
        self._expect_nothing()
        self._unread.rest()
        self.connections.discard(self)
        asyncio_transport = self.transport._transport
        make_websocket: Callable[..., WebSocketProtocol] = self.config.ws_protocol_class  # type: ignore[assignment] # ours
        protocol = make_websocket(config=self.config, server_state=self.server_state, app_state=self.app_state)
        asyncio_transport.set_protocol(protocol)
        protocol.connection_made(asyncio_transport)
        protocol.data_received(self._head(b"upgrade")[:-2] + b"upgrade: websocket\r\n\r\n")
        if rest:
            protocol.data_received(rest)

    def _decline_upgrade(self) -> None:
        """Read the request as if it had not asked for another protocol (RFC 9110, 7.8), its body too.

        httptools takes what follows the head of such a request for the other protocol, whatever the server decides. So
        a new parser reads the head again, without the one header, and frames the body by all others.
        """
        if self.parser.get_method() == b"CONNECT":
            message = "This server is no proxy, and does not take CONNECT."
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", message)
            return
        head = self._head(b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", "Invalid HTTP request received.")

    def _head(self, without: bytes) -> bytes:
        """Return the head that has come, without a header."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s\r\n" % header for header in self.headers if header[0] != without]
        return b"".join([*lines, b"\r\n"])

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._expect_nothing()
        self._overdue = self.loop.call_later(seconds, otherwise)

    def _expect_nothing(self) -> None:
        if self._overdue:
            self._overdue.cancel()
            self._overdue = None

    def _refuse_slow_head(self) -> None:
        if not self.waits:  # the answer to the request before comes first
            self._expect(self._head_s, self._refuse_slow_head)
        elif self._head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request took too long to come.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer in place of the application what does not come or is no HTTP, after all requests before, and close."""
        if self.transport.is_closing() or self._last_words is not None:
            return
        log.info("HTTP refused: %d %s", status, code)
        self._expect_nothing()
        self._last_words = _answer(status, code, message)
        self._leave_unfinished()
        self._say_last_words()

    def _leave_unfinished(self) -> None:
        """Take a request back whose body does not come to its end: its answer is the last one."""
        broken = self.cycle
        if broken is None or broken.response_complete or not broken.more_body:
            return
        if self.pipeline and self.pipeline[0][0] is broken:
            self.pipeline.popleft()
        elif broken.response_started:
            self._last_words = b""
        broken.disconnected = True
        broken.message_event.set()
        self._unanswered -= 1

    def _say_last_words(self) -> None:
        if self._last_words is not None and self.waits and not self.transport.is_closing():
            self.transport.write(self._last_words)
            self.transport.close()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close it; where the client may still be sending, let it read its answer first (RFC 9112, 9.6)."""
        is_sending = self._last_words is not None or bool(self._unparsed) or (self.cycle and self.cycle.more_body)
        self._unread.watch()
        if not is_sending or transport.is_closing():
            transport.close()
            return
        self._unparsed = b""
        self.flow.full = False
        self.flow.resume_reading()
        transport.write_eof()
        self._expect(LINGER_S, transport.close)


class Handshake(ServerProtocol):
    """websockets' side of a connection, which tells errors as all others are told."""

    def reject(self, status: Any, text: str) -> Response:
        """Return the answer to a handshake that cannot be accepted."""
        response = super().reject(status, text)
        known = {403: "forbidden", 414: "headers_too_large", 426: "upgrade_required", 431: "headers_too_large"}
        code = known.get(response.status_code, "invalid_handshake" if response.status_code < 500 else "internal_error")
        log.info("WS refused: %d %s", response.status_code, code)
        response.body = _error(response.status_code, code, text.strip() or "The connection is refused.")
        del response.headers["Content-Type"], response.headers["Content-Length"]
        response.headers.update({"Content-Type": "application/json", "Content-Length": str(len(response.body))})
        return response


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


Connection = HttpProtocol | WebSocketProtocol


def make_room(connections: Iterable[Any], most: int, newest: HttpProtocol) -> None:
    """Close connections that the server waits for, those first that have kept it waiting longest, down to `most`.

    Some more are closed, more of those without a request, so that there is room for the next ones too: to look through
    thousands of connections takes milliseconds. Where no other connection can be closed, the newest is.
    """
    living: list[Connection] = [each for each in connections if not each.is_cut]
    waiting = [(each.standing, each.waiting_since, each) for each in living if each.standing is not None]
    waiting = sorted((each for each in waiting if each[2] is not newest), key=lambda each: each[:2])
    too_many = len(living) - most
    if too_many <= 0:
        return
    if not waiting:
        newest.cut()
    for place, (standing, _, each) in enumerate(waiting[: too_many + most // 10]):
        if place < too_many + most // 100 or standing != COMING:
            each.cut()


def _declared_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the length of a body as its request's headers, which have been parsed, say it; 0 where they do not."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _error(status: int, code: str, message: str) -> bytes:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return json.dumps(error_body(message, type=kind, code=code)).encode()


def _answer(status: HTTPStatus, code: str, message: str) -> bytes:
    body = _error(status, code, message)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
