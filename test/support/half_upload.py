"""An upload that is in flight for as long as a test wants: half of its body has been sent."""

import socket
from contextlib import suppress
from http.client import HTTPResponse, RemoteDisconnected

ROUTE = "/v1/audio/transcriptions"


class HalfUpload:
    """A raw upload to a port of this machine whose second half is sent when the test says so."""

    def __init__(self, port: int, key: str, body: bytes, content_type: str) -> None:
        half = len(body) // 2
        head = f"POST {ROUTE} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-type: {content_type}\r\n"
        self._rest = body[half:]
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=300)
        self._connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:half])

    def finish(self) -> tuple[int, bytes]:
        """Send the rest, and return the status and the body of the answer; status 0 if there is none."""
        with self._connection:
            with suppress(OSError):  # the answer may be there already, and the connection half closed
                self._connection.sendall(self._rest)
            answer = HTTPResponse(self._connection, method="POST")
            try:
                answer.begin()
                return answer.status, answer.read()
            except (RemoteDisconnected, OSError):
                return 0, b""
            finally:
                answer.close()

    def leave(self) -> None:
        """Close the connection."""
        self._connection.close()
