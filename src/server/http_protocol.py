"""HTTP connections: uvicorn's protocol, with a time limit in every state and a response to every request.

As long as the server waits for its client, a connection has a deadline and may be evicted to make room for new ones:
while it is idle, while a head or a body is incomplete, while a response is not read, and while it is closing.
"""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.errors import SERVER_ANSWER
from src.server.eviction import EvictionRank, make_room
from src.server.flow_control import PipelineFlowControl
from src.server.http_errors import OnRefused, raw_response
from src.server.slow_reader import SlowReaderGuard
from src.server.transport import LINGER_S, ProtocolTransport

MAX_HEAD_BYTES = 32 * 1024
"""Largest request line and headers together, and most that a chunked body may have between two pieces of its content.
It is checked after each `FEED_BYTES`; a head may exceed it by as much."""
FEED_BYTES = 4096
"""What the parser gets at a time, unless all of it is one body. It may hold 200 requests, and more requests must not be
begun than may wait."""
MAX_PIPELINED = 16
"""Requests on one connection that may wait for the responses to those before them; no more are read."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, changed in three ways.

    If an upgrade is declined, the body of its request is read like any other. Each request gets one response, even if
    what follows it is not HTTP. Every state has a time limit.

    Args:
        options: uvicorn's own.
        head_s: time limit for a request's head in seconds, from the first byte of the request or from the connection.
        max_connections: connections beyond which some are evicted.
        on_refused: called for each request that is answered in place of the application.
    """

    transport: ProtocolTransport  # type: ignore[assignment] # a Transport in all that uvicorn uses
    flow: PipelineFlowControl
    is_evicted = False

    def __init__(self, *options: Any, head_s: float, max_connections: int, on_refused: OnRefused, **named: Any) -> None:
        super().__init__(*options, **named)
        self._head_s = head_s
        self._on_refused = on_refused
        self._max_connections = max_connections
        self._in_head = True
        self._head_bytes = 0  # of a head so far, or of a body since its last content
        self._body_bytes = 0  # what is still to come of a body with a declared length
        self._unparsed = b""
        self._unanswered = 0  # requests whose head is complete and whose response is not
        self._final_response: bytes | None = None  # sent in place of the application's; the connection ends with it
        self._deadline: asyncio.TimerHandle | None = None  # for the head, or for a client that goes on sending
        self._slow_reader: SlowReaderGuard
        self.waiting_since = self.loop.time()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        return self._unanswered == 0

    @property
    def eviction_rank(self) -> EvictionRank | None:
        """How early it is evicted; None while the server works on a request."""
        if self.transport.is_closing():
            return EvictionRank.CLOSING
        if self.is_idle:
            return EvictionRank.IDLE
        is_waiting = self.flow.write_paused or (self._unanswered == 1 and self.cycle.more_body)
        return EvictionRank.WAITING if is_waiting else None

    def evict(self) -> None:
        """Close it at once."""
        self.is_evicted = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn declares it so
        """Start a connection."""
        super().connection_made(ProtocolTransport(transport, self._close))  # type: ignore[arg-type] # as `transport`
        self.flow = PipelineFlowControl(transport)
        self._slow_reader = SlowReaderGuard(transport, self.loop)
        self._set_deadline(self._head_s, self._reject_slow_head)
        if len(self.connections) > self._max_connections:
            make_room(self.connections, self._max_connections, self)  # type: ignore[arg-type] # all are ours

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._clear_deadline()
        self._slow_reader.stop()
        self._unparsed = b""
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Handle the end of what the client sends: asyncio closes the connection once everything is written."""
        self._slow_reader.start()

    def data_received(self, data: bytes) -> None:
        """Handle data from the client."""
        if not self.transport.is_closing() and self._final_response is None:
            self._unparsed += data
            self._parse()

    def on_message_begin(self) -> None:
        """Handle the beginning of a request."""
        super().on_message_begin()
        self._head_bytes = max(1, self._head_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle a header. Fields after a chunked body are dropped, as they are no headers (RFC 9110, 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Handle the end of a request's head: serve the request, unless it asks for an upgrade."""
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()  # first: it raises if the target cannot be read
        self._in_head = False
        self._head_bytes = 0
        self._unanswered += 1
        self.waiting_since = self.loop.time()
        self._clear_deadline()
        self._body_bytes = _declared_bytes(self.headers)

    def on_body(self, body: bytes) -> None:
        """Handle a part of a body."""
        self._body_bytes -= len(body)
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the end of a request; the head of the next one follows."""
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._head_bytes = 0
        self._clear_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Handle the end of a response: go on with the next request, and limit the time for the rest of this one."""
        self._unanswered -= 1
        self.waiting_since = self.loop.time()
        answered = self.cycle
        super().on_response_complete()
        self._send_final_response()
        if self.transport.is_closing():
            return
        if answered is self.cycle and answered.response_complete and answered.more_body:
            self._set_deadline(LINGER_S, self.transport.abort)
        if self._unparsed and len(self.pipeline) < MAX_PIPELINED:
            self._resume_reading()
            self._parse()

    def pause_writing(self) -> None:
        """Handle a client that does not read as fast as the server writes."""
        super().pause_writing()
        self._slow_reader.start()

    def resume_writing(self) -> None:
        """Handle a client that has caught up."""
        self._slow_reader.stop()
        super().resume_writing()

    # -- parsing -------------------------------------------------------------------------------------------------------

    def _parse(self) -> None:
        """Parse what has come, as long as there is room for more requests."""
        self._unset_keepalive_if_required()
        rest = memoryview(self._unparsed)
        self._unparsed = b""
        while rest and not self.transport.is_closing() and self._final_response is None:
            if len(self.pipeline) >= MAX_PIPELINED:
                self._unparsed = bytes(rest)
                self.flow.pause_reading()
                self.flow.is_full = True
                return
            self._head_bytes += len(rest[:FEED_BYTES])
            rest = self._feed(rest)
            if self._head_bytes > MAX_HEAD_BYTES:
                message = "The headers are too large."
                self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
        if self._in_head and self._deadline is None and not self.transport.is_closing():
            self._set_deadline(self._head_s, self._reject_slow_head)

    def _feed(self, data: memoryview) -> memoryview:
        """Parse the beginning of `data`, and return the rest."""
        size_bytes = max(FEED_BYTES, self._body_bytes)
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
            self._reject(HTTPStatus.BAD_REQUEST, "invalid_http", "Invalid HTTP request received.")
        return data[size_bytes:]

    def _resume_reading(self) -> None:
        self.flow.is_full = False
        self.flow.resume_reading()

    # -- upgrades ------------------------------------------------------------------------------------------------------

    def _is_handshake(self) -> bool:
        """Return whether the head is a WebSocket handshake (RFC 6455, 4.1): a GET of HTTP/1.1 without a body."""
        values = (value for name, value in self.headers if name == b"upgrade")
        if b"websocket" not in (token.strip().lower() for value in values for token in value.split(b",")):
            return False
        has_body = any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
            for name, value in self.headers
        )
        return self.parser.get_method() == b"GET" and self.parser.get_http_version() == "1.1" and not has_body

    def _upgrade(self, rest: bytes) -> None:
        """Hand the connection, and the data after the head, over to the WebSocket protocol for good."""
        if self._unanswered:
            message = "An upgrade must wait for the answers to the requests before it."
            self._reject(HTTPStatus.BAD_REQUEST, "invalid_handshake", message)
            return
        self._in_head = False
        self._head_bytes = 0
        self._clear_deadline()
        self._slow_reader.stop()
        self.connections.discard(self)
        transport = self.transport.wrapped
        new_websocket: Callable[..., asyncio.Protocol] = self.config.ws_protocol_class  # type: ignore[assignment] # ours
        protocol = new_websocket(config=self.config, server_state=self.server_state, app_state=self.app_state)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._head_without(b"upgrade")[:-2] + b"upgrade: websocket\r\n\r\n")
        if rest:
            protocol.data_received(rest)

    def _decline_upgrade(self) -> None:
        """Read the request and its body as if it had not asked for another protocol (RFC 9110, 7.8).

        httptools takes what follows the head of such a request for the other protocol, whatever the server decides. So
        a new parser reads the head again without that header, and finds the body by the other headers.
        """
        if self.parser.get_method() == b"CONNECT":
            message = "This server is no proxy, and does not take CONNECT."
            self._reject(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", message)
            return
        head = self._head_without(b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserError:
            self._reject(HTTPStatus.BAD_REQUEST, "invalid_http", "Invalid HTTP request received.")

    def _head_without(self, dropped: bytes) -> bytes:
        """Return the request's head without one header."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s\r\n" % header for header in self.headers if header[0] != dropped]
        return b"".join([*lines, b"\r\n"])

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float, callback: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, callback)

    def _clear_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _reject_slow_head(self) -> None:
        if not self.is_idle:  # the response to the request before comes first
            self._set_deadline(self._head_s, self._reject_slow_head)
        elif self._head_bytes:
            self._reject(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request took too long to come.")
        else:
            self.transport.close()

    def _reject(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer in place of the application, after all requests before, and close the connection."""
        if self.transport.is_closing() or self._final_response is not None:
            return
        self._clear_deadline()
        if not self._in_head and self.cycle.response_complete:  # what breaks is the rest of a body that nobody reads
            self.transport.close()
            return
        self._final_response = raw_response(status, code, message)
        if self._in_head or not self._abandon_request(status, code):
            self._on_refused("HTTP", int(status), code)
        self._send_final_response()

    def _abandon_request(self, status: HTTPStatus, code: str) -> bool:
        """Take back the request whose body breaks: the final response, which has this status and code, is its response.

        Return whether the application knows the request, and so notes its end.
        """
        broken = self.cycle
        self._unanswered -= 1
        if self.pipeline and self.pipeline[0][0] is broken:
            self.pipeline.popleft()
            return False
        if broken.response_started:
            self._final_response = b""
        else:
            broken.scope["state"][SERVER_ANSWER] = (int(status), code)
        broken.disconnected = True
        broken.message_event.set()
        return True

    def _send_final_response(self) -> None:
        if self._final_response is not None and self.is_idle and not self.transport.is_closing():
            self.transport.write(self._final_response)
            self.transport.close()

    def _close(self, transport: asyncio.Transport) -> None:
        """Close the connection; a client that may still be sending can read its response first (RFC 9112, 9.6)."""
        is_sending = self._final_response is not None or bool(self._unparsed) or (self.cycle and self.cycle.more_body)
        self._slow_reader.start()
        if not is_sending or transport.is_closing():
            transport.close()
            return
        self._unparsed = b""
        self._resume_reading()
        transport.write_eof()
        self._set_deadline(LINGER_S, transport.close)


def _declared_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length of a request whose headers have been parsed; 0 if it has none."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
