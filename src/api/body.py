"""Request bodies: read within limits of size, time and memory, and parsed as JSON."""

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
"""Rate that a small body needs: each 500 bytes that have come give it another second. It is a quarter of the rate of
the slowest voice codec."""
GROWTH_S = 300.0
"""How the needed rate grows with the body: by one byte per second for each `GROWTH_S` bytes that have come. Ten minutes
of that codec may come in real time and 64 MiB in half an hour, and a trickle does not keep a large body for hours."""
RETRY_S = 5.0
LARGE_BYTES = 1024 * 1024
"""A larger body is parsed beside the event loop. A smaller one takes a few milliseconds at worst."""
PLAIN_ENCODINGS = frozenset({"", "identity", "utf-8", "utf8"})
"""Values of Content-Encoding that leave a body as it is. The last two are clients' mistake for a charset."""


class BodyReader:
    """Reads request bodies and limits the memory that they take together.

    Args:
        max_bytes: largest body.
        max_total_bytes: largest sum of all bodies that are in memory.
        timeout_s: longest pause in a body. A body may also take this long in all, plus `extra_time_s` for its size.
    """

    def __init__(self, *, max_bytes: int, max_total_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._timeout_s = timeout_s
        self._total_bytes = 0
        self._in_progress: dict[UploadProgress, BodyUsage] = {}

    @property
    def total_bytes(self) -> int:
        """Size of all bodies that are in memory."""
        return self._total_bytes

    @asynccontextmanager
    async def read(
        self, request: Request, upload: UploadProgress | None = None, max_bytes: int | None = None
    ) -> AsyncIterator[list[bytes]]:
        """Read the body of `request` and yield it as it came, in pieces. Its memory counts until the block ends.

        Args:
            request: the request.
            upload: notes how fast the body comes.
            max_bytes: largest body, if that is less than the reader's own limit.

        Raises:
            UnsupportedEncoding: the body is compressed.
            UploadTooLarge: the body is too large.
            UploadTooSlow: the body takes too long, or it comes slowly and another one needs its memory.
            QueueFull: there is no memory for the body now.
            ClientGone: the client disconnected before the end of the body.
        """
        now = asyncio.get_running_loop().time()
        usage = BodyUsage(now, upload or UploadProgress(now), min(max_bytes or self._max_bytes, self._max_bytes))
        self._in_progress[usage.upload] = usage
        try:
            _check_encoding(request.headers.getlist("content-encoding"))
            declared = request.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > usage.max_bytes:
                raise _too_large(usage.max_bytes)
            await self._read(request, usage)
            yield usage.pieces
        finally:
            self._release(usage)

    async def _read(self, request: Request, usage: "BodyUsage") -> None:
        """Read the body of `request` to its end, into `usage`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(self._deadline(usage, usage.began_at)) as usage.timeout:
                while True:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    if usage.is_evicted:
                        raise usage.too_slow()
                    now = loop.time()
                    self._add(message.get("body", b""), usage, now)
                    if not message.get("more_body"):
                        break
                    usage.timeout.reschedule(self._deadline(usage, now))
        except TimeoutError:
            if not (usage.timeout and usage.timeout.expired()):
                raise
            raise usage.too_slow() from None
        finally:
            usage.timeout = None
        usage.upload.is_complete = True

    def _deadline(self, usage: "BodyUsage", now: float) -> float:
        """Return when the next piece must have come."""
        return min(usage.began_at + self._timeout_s + extra_time_s(usage.bytes), now + self._timeout_s)

    def _add(self, piece: bytes, usage: "BodyUsage", now: float) -> None:
        if not piece:
            return
        if usage.bytes + len(piece) > usage.max_bytes:
            raise _too_large(usage.max_bytes)
        self._make_room(usage, len(piece), now)
        usage.bytes += len(piece)
        self._total_bytes += len(piece)
        usage.upload.add(len(piece), now)
        usage.pieces.append(piece)

    def _make_room(self, usage: "BodyUsage", size_bytes: int, now: float) -> None:
        """Evict the slowest of the other bodies until `size_bytes` more fit.

        Raises:
            QueueFull: none of the other bodies is slow.
        """
        while self._total_bytes + size_bytes > self._max_total_bytes:
            others = [upload for upload, each in self._in_progress.items() if each is not usage and each.bytes]
            slowest = evictable(others, now)
            if slowest is None:
                message = "The uploads in progress fill the server's memory. Try again later."
                raise QueueFull(message, retry_after_s=RETRY_S)
            evicted = self._in_progress[slowest]
            evicted.evict(now)
            self._release(evicted)

    def _release(self, usage: "BodyUsage") -> None:
        """Stop counting a body. Idempotent."""
        self._in_progress.pop(usage.upload, None)
        self._total_bytes -= usage.bytes
        usage.bytes = 0


@dataclass(eq=False, slots=True)
class BodyUsage:
    """One body: its pieces that are in memory, and its limits."""

    began_at: float
    upload: UploadProgress
    max_bytes: int
    pieces: list[bytes] = field(default_factory=list)
    bytes: int = 0
    is_evicted: bool = False
    timeout: asyncio.Timeout | None = None
    """The time limit for the next piece, while it is awaited."""

    def evict(self, now: float) -> None:
        """End the reading of this body with `too_slow`."""
        self.is_evicted = True
        if self.timeout:
            self.timeout.reschedule(now)

    def too_slow(self) -> UploadTooSlow:
        """Return the error of a body that is evicted or late."""
        if self.is_evicted:
            message = "The upload was too slow, and others needed its memory. Try again later."
            return UploadTooSlow(message, retry_after_s=RETRY_S)
        return UploadTooSlow("The body of the request came too slowly, or stopped coming.")


def extra_time_s(size_bytes: int) -> float:
    """Return how many more seconds a body may take once `size_bytes` of it have come: 1,450 s for 20 MB."""
    return GROWTH_S * math.log1p(size_bytes / (MIN_BYTES_PER_S * GROWTH_S))


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        InvalidRequest: the body is not JSON, or it has far more values or text than any valid request.
    """
    if has_too_many_values(body):
        raise InvalidRequest(f"The JSON of the body has more than {MAX_VALUES} values.")
    if has_too_many_escapes(body):
        raise InvalidRequest("The JSON of the body has more text than any valid request.")
    try:
        # Both hold the GIL. `json` accepts odd text, such as half of a surrogate pair; `from_json` is faster.
        return json.loads(body) if len(body) <= LARGE_BYTES else from_json(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not the JSON that its content type says.") from None


def _check_encoding(headers: list[str]) -> None:
    """Reject compressed bodies: a small one could inflate to any size.

    Raises:
        UnsupportedEncoding: a header names a compression.
    """
    encodings = [encoding.strip() for header in headers for encoding in header.split(",")]
    if any(encoding.lower() not in PLAIN_ENCODINGS for encoding in encodings):
        named = ", ".join(encodings)[:40]
        message = f"The body is sent with `Content-Encoding: {named}`. Send it as it is, without that header."
        raise UnsupportedEncoding(message, param="content-encoding")


def _too_large(max_bytes: int) -> UploadTooLarge:
    limit = f"{max_bytes / 2**20:g} MB"
    return UploadTooLarge(f"The upload is larger than {limit}, the limit here (PARAKEET_MAX_UPLOAD_MB).", param="file")
