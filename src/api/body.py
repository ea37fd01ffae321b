"""Request bodies as they come in: each within its size and its time, all of them within the server's memory."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from src.errors import ClientGone, InvalidRequest, QueueFull, UnsupportedEncoding, UploadTooLarge, UploadTooSlow
from src.scheduling.upload_progress import UploadProgress, evictable
from src.wire.json_limits import MAX_VALUES, has_too_many_escapes, has_too_many_values

MIN_BYTES_PER_S = 500.0
"""A small body may take longer by a second for so many bytes that have come: a quarter of the slowest voice codec in
real time."""
GROWTH_S = 300.0
"""What a body must bring in a second grows, by one for each so many bytes that have come: ten minutes of that codec may
come in real time, 64 MiB in half an hour, and a trickle keeps no large body for hours."""
RETRY_S = 5.0
LARGE_BYTES = 1024 * 1024
"""A body of more is handled beside the event loop; one of less takes a few milliseconds at worst."""
PLAIN = frozenset({"", "identity", "utf-8", "utf8"})
"""Values of Content-Encoding with which a body is what it is; the last two are clients' mistake for a charset."""


class BodyReader:
    """Reads request bodies.

    Args:
        max_bytes: largest body.
        most_bytes: what all bodies may take together.
        timeout_s: how long a body may take, before what its size adds (`allowed_s`), and longest pause in it.
    """

    def __init__(self, *, max_bytes: int, max_total_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._most_bytes = max_total_bytes
        self._timeout_s = timeout_s
        self._held_bytes = 0
        self._coming: dict[UploadProgress, BodyUsage] = {}

    @property
    def held_bytes(self) -> int:
        """What all bodies take together."""
        return self._held_bytes

    @asynccontextmanager
    async def read(
        self, request: Request, upload: UploadProgress | None = None, max_bytes: int | None = None
    ) -> AsyncIterator[list[bytes]]:
        """Give the body of `request`, of at most `max_bytes` where that is less, as it came in pieces.

        How it comes is noted in `upload`. It counts as held until the end of the block.

        Raises:
            UnsupportedEncoding: it is compressed.
            UploadTooLarge: it is larger.
            UploadTooSlow: it takes too long, or comes slowly and another needs its memory.
            QueueFull: there is no memory for it now.
            ClientGone: the client left before its end.
        """
        now = asyncio.get_running_loop().time()
        held = BodyUsage(now, upload or UploadProgress(now), min(max_bytes or self._max_bytes, self._max_bytes))
        self._coming[held.upload] = held
        try:
            _check_encoding(request.headers.getlist("content-encoding"))
            declared = request.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > held.max_bytes:
                raise _too_large(held.max_bytes)
            await self._read(request, held)
            yield held.pieces
        finally:
            self._release(held)

    async def _read(self, request: Request, held: "BodyUsage") -> None:
        """Read to the end."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(self._deadline(held, held.began_at)) as held.limit:
                while True:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    if held.is_ended:
                        raise held.too_slow()
                    now = loop.time()
                    self._take(message.get("body", b""), held, now)
                    if not message.get("more_body"):
                        break
                    held.limit.reschedule(self._deadline(held, now))
        except TimeoutError:
            if not (held.limit and held.limit.expired()):
                raise
            raise held.too_slow() from None
        finally:
            held.limit = None
        held.upload.is_complete = True

    def _deadline(self, held: "BodyUsage", now: float) -> float:
        """Return until when the next piece must have come."""
        return min(held.began_at + self._timeout_s + allowed_s(held.bytes), now + self._timeout_s)

    def _take(self, piece: bytes, held: "BodyUsage", now: float) -> None:
        if not piece:
            return
        if held.bytes + len(piece) > held.max_bytes:
            raise _too_large(held.max_bytes)
        self._make_room(held, len(piece), now)
        held.bytes += len(piece)
        self._held_bytes += len(piece)
        held.upload.add(len(piece), now)
        held.pieces.append(piece)

    def _make_room(self, held: "BodyUsage", size_bytes: int, now: float) -> None:
        """Have the slowest bodies give up their memory until there is room for so much more.

        Raises:
            QueueFull: none of the others is slow.
        """
        while self._held_bytes + size_bytes > self._most_bytes:
            others = [upload for upload, each in self._coming.items() if each is not held and each.bytes]
            slowest = evictable(others, now)
            if slowest is None:
                message = "The uploads that are under way fill the server's memory. Try again later."
                raise QueueFull(message, retry_after_s=RETRY_S)
            self._coming[slowest].end(now)
            self._release(self._coming[slowest])

    def _release(self, held: "BodyUsage") -> None:
        """Count a body no more."""
        self._coming.pop(held.upload, None)
        self._held_bytes -= held.bytes
        held.bytes = 0


@dataclass(eq=False, slots=True)
class BodyUsage:
    """What of one body is in memory, and how it comes."""

    began_at: float
    upload: UploadProgress
    max_bytes: int
    pieces: list[bytes] = field(default_factory=list)
    bytes: int = 0
    is_ended: bool = False
    limit: asyncio.Timeout | None = None
    """That of the piece that is waited for."""

    def end(self, now: float) -> None:
        """Have its reader read no more."""
        self.is_ended = True
        if self.limit:
            self.limit.reschedule(now)

    def too_slow(self) -> UploadTooSlow:
        """Return why it has ended."""
        if self.is_ended:
            message = "The upload was too slow, and others needed its memory. Try again later."
            return UploadTooSlow(message, retry_after_s=RETRY_S)
        return UploadTooSlow("The body of the request came too slowly, or stopped to come.")


def allowed_s(size_bytes: int) -> float:
    """Return by how many seconds a body may take longer because so much of it has come: 20 MB may take 1,450 s."""
    return GROWTH_S * math.log1p(size_bytes / (MIN_BYTES_PER_S * GROWTH_S))


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


def parse_json(body: bytes) -> Any:
    """Return what a body holds as JSON.

    Raises:
        InvalidRequest: it is no JSON, or has more parts than any that is meant.
    """
    if has_too_many_values(body):
        raise InvalidRequest(f"The JSON of the body has more than {MAX_VALUES} values.")
    if has_too_many_escapes(body):
        raise InvalidRequest("The JSON of the body has more text than any that is meant.")
    try:
        # No other thread runs meanwhile. The first takes what is odd, such as half an emoji; the other is faster.
        return json.loads(body) if len(body) <= LARGE_BYTES else from_json(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not the JSON that its content type says.") from None
