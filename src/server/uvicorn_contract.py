"""What `src.server` uses of uvicorn and websockets beyond their documented interfaces, and so why both are pinned.

A test resolves every name in the installed packages. Read the classes again before an upgrade: a method that is renamed
there is no longer overridden here, and nothing else would say so.
"""

UVICORN = "0.54.0"
WEBSOCKETS = "17.4"

NAMES = {
    "uvicorn.Server": ("_captured_signals", "capture_signals", "handle_exit", "shutdown"),
    "uvicorn.protocols.http.flow_control.FlowControl": (
        *("pause_reading", "resume_reading"),
        "write_paused",
    ),
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": (
        *("connection_made", "connection_lost", "eof_received", "data_received", "pause_writing", "resume_writing"),
        *(
            "on_message_begin",
            "on_header",
            "on_headers_complete",
            "on_body",
            "on_message_complete",
            "on_response_complete",
        ),
        "_unset_keepalive_if_required",
        *("app_state", "config", "connections", "cycle", "flow", "loop", "parser", "pipeline", "server_state"),
        "transport",
        *("headers", "url"),  # of the request whose head is being read
    ),
    "uvicorn.protocols.http.httptools_impl.RequestResponseCycle": (
        *("disconnected", "message_event", "more_body", "response_complete", "response_started", "scope"),
    ),
    "uvicorn.protocols.websockets.websockets_sansio_impl.WebSocketsSansIOProtocol": (
        *("connection_made", "connection_lost", "eof_received", "data_received"),
        *("handle_connect", "handle_cont", "handle_parser_exception", "handle_ping", "receive", "send"),
        *("send_receive_event_to_app", "shutdown", "stop_keepalive"),
        *("close_sent", "close_timer", "curr_msg_data_type", "read_paused"),
        *("handshake_complete", "handshake_initiated"),
        *("close_timeout", "config", "conn", "connections", "frames", "logger", "loop", "queue", "transport"),
        "writable",
    ),
    "websockets.server.ServerProtocol": (
        "reject",
        *("close_sent", "current_size", "data_to_send", "extensions", "fail", "handshake_exc", "reader", "send_close"),
        *("parser", "state"),
        "available_extensions",
    ),
    "websockets.streams.StreamReader": ("buffer", "discard"),
}
"""Methods and attributes by the class that has them."""
