"""The WebSocket handshake, with errors in the shape of the API's own."""

from typing import Any

from websockets.http11 import Response
from websockets.server import ServerProtocol

from src.server.http_errors import OnRefused, error_json

_CODES = {403: "forbidden", 414: "headers_too_large", 426: "upgrade_required", 431: "headers_too_large"}


class JsonErrorProtocol(ServerProtocol):
    """websockets' protocol of a connection, which rejects handshakes with a JSON error.

    Args:
        on_refused: called for each handshake that is rejected.
        options: websockets' own.
    """

    def __init__(self, on_refused: OnRefused, **options: Any) -> None:
        super().__init__(**options)
        self._on_refused = on_refused

    def reject(self, status: Any, text: str) -> Response:
        """Return the response to a handshake that is rejected with `status`, for the reason `text`."""
        response = super().reject(status, text)
        default = "invalid_handshake" if response.status_code < 500 else "internal_error"
        code = _CODES.get(response.status_code, default)
        self._on_refused("WS", response.status_code, code)
        response.body = error_json(response.status_code, code, text.strip() or "The connection is refused.")
        del response.headers["Content-Type"], response.headers["Content-Length"]
        response.headers.update({"Content-Type": "application/json", "Content-Length": str(len(response.body))})
        return response
