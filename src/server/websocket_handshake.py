"""Handshake."""

import logging
from typing import Any

from websockets.http11 import Response
from websockets.server import ServerProtocol

from src.server.http_errors import error_json

log = logging.getLogger("src.access")


class Handshake(ServerProtocol):
    """websockets' side of a connection, which tells errors as all others are told."""

    def reject(self, status: Any, text: str) -> Response:
        """Return the answer to a handshake that cannot be accepted."""
        response = super().reject(status, text)
        known = {403: "forbidden", 414: "headers_too_large", 426: "upgrade_required", 431: "headers_too_large"}
        code = known.get(response.status_code, "invalid_handshake" if response.status_code < 500 else "internal_error")
        log.info("WS refused: %d %s", response.status_code, code)
        response.body = error_json(response.status_code, code, text.strip() or "The connection is refused.")
        del response.headers["Content-Type"], response.headers["Content-Length"]
        response.headers.update({"Content-Type": "application/json", "Content-Length": str(len(response.body))})
        return response
