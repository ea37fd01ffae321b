"""Connections: uvicorn's protocols, with an end for clients that do not get on and an answer for each request.

Whatever a connection has become, it has a deadline until it is a session, and it gives way to new ones as long as the
server waits for its client: by silence, by a head or a body that does not come, by an answer that is not taken, by a
handshake that is not answered, or because it is being closed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.server.eviction import CLOSING, COMING, SILENT, make_room
from src.server.flow_control import Flow
from src.server.http_errors import error_response
from src.server.slow_reader import Unread
from src.server.transport import Transport

log = logging.getLogger("src.access")

MAX_HEAD_BYTES = 32 * 1024
"""Largest request line and headers; one piece that is parsed may go beyond."""
PIECE_BYTES = 4096
"""What is parsed at a time, unless it is all of one body. A piece may hold 200 requests, and no more of them are begun
than may wait."""
LINGER_S = 5.0
"""How long a client may go on sending what nobody wants: it would not see the answer of a connection that is closed
under it, but one that never ends must not keep it."""
MAX_PIPELINED = 16
"""Requests that may wait on one connection for the answers to those before; what comes after is not read before."""


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
        make_websocket: Callable[..., asyncio.Protocol] = self.config.ws_protocol_class  # type: ignore[assignment] # ours
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
        self._last_words = error_response(status, code, message)
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


def _declared_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the length of a body as its request's headers, which have been parsed, say it; 0 where they do not."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
