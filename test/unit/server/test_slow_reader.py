"""A time limit for clients that do not read (src.server.slow_reader)."""

import asyncio

from fake_transport import FakeTransport
from virtual_time import in_virtual_time

from src.server.slow_reader import MIN_READ_BYTES_PER_S, UNREAD_S, SlowReaderGuard

MANY_BYTES = 10_000_000


def guarded() -> tuple[FakeTransport, SlowReaderGuard]:
    """A connection whose client has much to read, and is watched."""
    transport = FakeTransport()
    transport.unread_bytes = MANY_BYTES
    guard = SlowReaderGuard(transport, asyncio.get_running_loop())
    guard.start()
    return transport, guard


async def read(transport: FakeTransport, bytes_per_s: float, seconds: float) -> None:
    """Let the client read."""
    for _ in range(round(seconds)):
        transport.unread_bytes -= round(bytes_per_s)
        await asyncio.sleep(1)


@in_virtual_time
async def test_a_client_that_reads_nothing_is_cut_off_in_the_end():
    transport, _ = guarded()
    await asyncio.sleep(UNREAD_S - 1)
    assert not transport.is_aborted
    await asyncio.sleep(UNREAD_S + 2)
    assert transport.is_aborted


@in_virtual_time
async def test_a_client_that_reads_slowly_but_steadily_is_not():
    transport, guard = guarded()
    await read(transport, MIN_READ_BYTES_PER_S, 20 * UNREAD_S)
    assert not transport.is_aborted
    guard.stop()


@in_virtual_time
async def test_a_client_that_reads_more_slowly_is():
    transport, _ = guarded()
    await read(transport, MIN_READ_BYTES_PER_S / 10, 4 * UNREAD_S)
    assert transport.is_aborted


@in_virtual_time
async def test_what_is_not_watched_any_more_is_not_cut_off():
    transport, guard = guarded()
    guard.start()  # again, which changes nothing
    guard.stop()
    await asyncio.sleep(10 * UNREAD_S)
    assert not transport.is_aborted
