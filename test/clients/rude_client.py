"""Misbehaving clients, over plain TCP on this machine: idle, slow, not speaking HTTP, or disconnecting."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import client

HALF_A_HEADER = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nX-Hea"
TICK_S = 0.5
"""Interval at which a slow client sends."""
GARBAGE_S = 15.0
"""Time within which invalid input is answered or cut off; the service waits some seconds for the end of a header."""
CHUNKED = (
    f"POST {client.ROUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/flac\r\nTransfer-Encoding: chunked\r\n\r\n"
).encode()

NO_ANSWER = "none"
STILL_OPEN = "open"
"""Stands for the status of a connection that was closed without one, or not at all."""


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and abort the connection at the end of the block, like a process that dies."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def stay_idle(port: int, beginning: bytes, hold_s: float) -> str:
    """Connect, send `beginning`, then nothing until the server closes or the time is up; return the status."""
    async with connection(port) as (reader, writer):
        writer.write(beginning)
        return await _status_in_time(reader, hold_s)


async def upload_slowly(port: int, content: bytes, bytes_per_s: int, hold_s: float) -> str:
    """Upload `content`, then zeros, slowly until the server answers or the time is up; return the status."""
    async with connection(port) as (reader, writer):
        writer.write(CHUNKED)
        dripping = asyncio.create_task(_drip(writer, content, max(1, round(bytes_per_s * TICK_S))))
        try:
            return await _status_in_time(reader, hold_s)
        finally:
            dripping.cancel()


async def _drip(writer: asyncio.StreamWriter, content: bytes, size: int) -> None:
    for start in itertools.count(step=size):
        writer.write(chunk(content[start : start + size] or bytes(size)))
        await asyncio.sleep(TICK_S)


def chunk(data: bytes) -> bytes:
    """Return data as one chunk of a chunked body (RFC 9112, 7.1)."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def leave_while_uploading(port: int, content: bytes) -> None:
    """Send a part of an upload and disconnect."""
    async with connection(port) as (_, writer):
        writer.write(CHUNKED + chunk(content[: len(content) // 2]))
        await writer.drain()


async def leave_while_answered(port: int, upload: client.Upload) -> None:
    """Request a stream, read its beginning, and disconnect."""
    async with connection(port) as (reader, writer):
        writer.write(_head(upload, f"{client.ROUTE}?stream=true", len(upload.body)) + upload.body)
        await reader.read(1)


async def declare_too_much(port: int, upload: client.Upload, length: int) -> str:
    """Declare a body of `length` bytes and send a little of it; return the status."""
    async with connection(port) as (reader, writer):
        writer.write(_head(upload, client.ROUTE, length) + upload.body[:1000])
        return await _status_in_time(reader, GARBAGE_S)


async def talk_nonsense(port: int, noise: bytes) -> str:
    """Send bytes that are not HTTP; return the status."""
    async with connection(port) as (reader, writer):
        writer.write(noise + b"\r\n\r\n")
        return await _status_in_time(reader, GARBAGE_S)


def _head(upload: client.Upload, route: str, length: int) -> bytes:
    lines = [f"POST {route} HTTP/1.1", "Host: localhost", f"Content-Type: {upload.content_type}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


async def _status_in_time(reader: asyncio.StreamReader, limit_s: float) -> str:
    try:
        return await asyncio.wait_for(_status(reader), limit_s)
    except TimeoutError:
        return STILL_OPEN


async def _status(reader: asyncio.StreamReader) -> str:
    """Return the status once the answer begins or the connection is closed without one."""
    try:
        words = (await reader.readline()).split()
    except ConnectionError:
        return NO_ANSWER
    return words[1].decode(errors="replace") if len(words) > 1 else NO_ANSWER
