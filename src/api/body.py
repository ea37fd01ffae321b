"""Request bodies as they come in: each within its size and its time, all of them within the server's memory."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from src.errors import ClientGone, QueueFull, UnsupportedEncoding, UploadTooLarge, UploadTooSlow

LEAST_BYTES_PER_S = 500.0
"""A body may take longer by a second for so many bytes that have come: a quarter of the slowest voice codec in real
time, and with `PARAKEET_MAX_UPLOAD_MB` a bound for how long it may take at all."""
RETRY_S = 5.0
PLAIN = frozenset({"", "identity", "utf-8", "utf8"})
"""Values of Content-Encoding with which a body is what it is; the last two are clients' mistake for a charset."""


class Bodies:
    """Reads request bodies.

    Args:
        max_bytes: largest body.
        most_bytes: what all bodies may take together.
        timeout_s: how long a body may take, before what `LEAST_BYTES_PER_S` adds, and longest pause in it.
    """

    def __init__(self, *, max_bytes: int, most_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s
        self._held_bytes = 0

    @contextmanager
    def read(self, request: Request, max_bytes: int | None = None) -> Iterator[AsyncGenerator[bytes, None]]:
        """Give the body of `request`, of at most `max_bytes` where that is less, in pieces.

        It counts as held until the end of the block.

        Raises, while iterating:
            UnsupportedEncoding: it is compressed.
            UploadTooLarge: it is larger.
            UploadTooSlow: it takes too long.
            QueueFull: there is no memory for it now.
            ClientGone: the client left before its end.
        """
        held = _Held()
        try:
            yield self._pieces(request, held, min(max_bytes or self._max_bytes, self._max_bytes))
        finally:
            self._held_bytes -= held.bytes

    async def _pieces(self, request: Request, held: "_Held", max_bytes: int) -> AsyncGenerator[bytes, None]:
        _check_encoding(request.headers.getlist("content-encoding"))
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise _too_large(max_bytes)
        stream = request.stream()
        while (piece := await self._next(stream, held)) is not None:
            if held.bytes + len(piece) > max_bytes:
                raise _too_large(max_bytes)
            if self._held_bytes + len(piece) > self._most_bytes:
                message = "The uploads that are under way fill the server's memory. Try again later."
                raise QueueFull(message, retry_after_s=RETRY_S)
            held.bytes += len(piece)
            self._held_bytes += len(piece)
            yield piece

    async def _next(self, stream: AsyncGenerator[bytes, None], held: "_Held") -> bytes | None:
        """Return the next piece, None at the end."""
        loop = asyncio.get_running_loop()
        if held.started is None:
            held.started = loop.time()
        overdue = held.started + self._timeout_s + held.bytes / LEAST_BYTES_PER_S
        try:
            async with asyncio.timeout_at(min(overdue, loop.time() + self._timeout_s)) as limit:
                return await anext(stream, None)
        except ClientDisconnect:
            raise ClientGone from None
        except TimeoutError:
            if not limit.expired():
                raise
            raise UploadTooSlow("The body of the request came too slowly, or stopped to come.") from None


@dataclass(slots=True)
class _Held:
    """What of one body is in memory, and since when it comes."""

    bytes: int = 0
    started: float | None = None


def _check_encoding(headers: list[str]) -> None:
    """Refuse what would have to be inflated first: a small body could become any size."""
    codings = [coding.strip() for header in headers for coding in header.split(",")]
    if any(coding.lower() not in PLAIN for coding in codings):
        named = ", ".join(codings)[:40]
        message = f"The body is sent with `Content-Encoding: {named}`. Send it as it is, without that header."
        raise UnsupportedEncoding(message, param="content-encoding")


def _too_large(max_bytes: int) -> UploadTooLarge:
    limit = f"{max_bytes / 2**20:g} MB"
    return UploadTooLarge(f"The upload is larger than {limit}, the limit here (PARAKEET_MAX_UPLOAD_MB).", param="file")
