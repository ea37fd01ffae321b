"""Request bodies: their limits of size, time and memory, and their JSON."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from in_process import request_of
from starlette.requests import Request
from virtual_time import VirtualLoop

from src.api.body import LARGE_BYTES, MIN_BYTES_PER_S, BodyReader, extra_time_s, parse_json
from src.errors import ClientGone, InvalidRequest, QueueFull, UnsupportedEncoding, UploadTooLarge, UploadTooSlow
from src.scheduling.upload_progress import UploadProgress

KB = 1000


def reader(**limits) -> BodyReader:
    return BodyReader(**{"max_bytes": 10 * KB, "max_total_bytes": 20 * KB, "timeout_s": 10.0} | limits)


async def test_a_body_is_read_as_it_came_and_counts_until_the_block_ends():
    bodies, upload = reader(), UploadProgress(0)
    async with bodies.read(request_of(b"abc", b"", b"de"), upload) as pieces:
        assert pieces == [b"abc", b"de"]
        assert bodies.total_bytes == 5
        assert upload.is_complete
    assert bodies.total_bytes == 0


@pytest.mark.parametrize(
    "request_",
    [
        request_of(content_length="10001"),
        request_of(b"x" * 10_000, b"x"),
    ],
    ids=["declared", "read"],
)
async def test_a_body_that_is_too_large_names_the_limit(request_):
    bodies = reader()
    with pytest.raises(UploadTooLarge, match=r"larger than 0\.00953674 MB"):
        async with bodies.read(request_):
            pass
    assert bodies.total_bytes == 0


async def test_a_route_may_have_a_lower_limit_but_no_higher_one():
    for limit, size in ((100, 101), (100 * KB, 11 * KB)):
        with pytest.raises(UploadTooLarge):
            async with reader().read(request_of(b"x" * size), max_bytes=limit):
                pass


async def test_a_client_that_leaves_ends_the_read():
    bodies = reader()
    with pytest.raises(ClientGone):
        async with bodies.read(request_of(b"abc", ends=False)):
            pass
    assert bodies.total_bytes == 0


@pytest.mark.parametrize("encoding", ["gzip", "identity, br"])
async def test_a_compressed_body_is_rejected_before_it_is_read(encoding):
    with pytest.raises(UnsupportedEncoding, match=encoding):
        async with reader().read(request_of(b"abc", content_encoding=encoding)):
            pass


async def test_a_body_that_has_come_is_not_evicted_so_the_next_one_finds_no_room():
    bodies = reader()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(bodies.read(request_of(b"x" * 10 * KB)))
        with pytest.raises(QueueFull) as error:
            await stack.enter_async_context(bodies.read(request_of(b"x")))
        assert error.value.retry_after_s == 5.0
        assert bodies.total_bytes == 20 * KB


def stalled(size: int) -> Request:
    """A request whose body stops after `size` bytes."""
    pieces = iter([b"x" * size])

    async def receive():
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": True}

    return Request({"type": "http", "headers": []}, receive)


async def read(bodies: BodyReader, request: Request) -> None:
    async with bodies.read(request):
        pass


def test_a_body_that_stalls_ends_after_the_time_limit():
    async def late() -> None:
        bodies = reader()
        with pytest.raises(UploadTooSlow, match="stopped coming") as error:
            await read(bodies, stalled(100))
        assert error.value.retry_after_s is None
        assert asyncio.get_running_loop().time() == pytest.approx(10.0, abs=0.3)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(late())


def test_a_stalled_body_is_evicted_for_one_that_comes():
    async def evict() -> None:
        bodies = reader()
        slow = [asyncio.create_task(read(bodies, stalled(9 * KB))) for _ in range(2)]
        await asyncio.sleep(5)
        async with bodies.read(request_of(b"x" * 10 * KB)):
            assert bodies.total_bytes <= 20 * KB
        ended = await asyncio.gather(*slow, return_exceptions=True)
        evicted = [error for error in ended if isinstance(error, UploadTooSlow) and error.retry_after_s == 5.0]
        assert len(evicted) == 1

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(evict())


def test_large_bodies_have_more_time_but_ever_less_for_each_byte():
    assert extra_time_s(0) == 0
    assert extra_time_s(500) == pytest.approx(1, rel=0.01)
    assert extra_time_s(20 * 10**6) == pytest.approx(1470, rel=0.02)


@pytest.mark.parametrize("text", [b'{"a": [1, null, "\xc3\xa9"]}', b"7", b'"x"'])
def test_json_has_the_same_value_small_or_large(text):
    assert parse_json(text) == parse_json(text + b" " * LARGE_BYTES)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b"[" + b"1," * 60_000 + b"1]"])
def test_what_is_no_json_or_too_much_of_it_is_rejected(body):
    with pytest.raises(InvalidRequest):
        parse_json(body)


def test_what_a_body_must_bring_grows_with_it():
    assert extra_time_s(0) == 0
    assert extra_time_s(1000) == pytest.approx(1000 / MIN_BYTES_PER_S, rel=0.01)
    for seconds, bytes_per_s in ((600, 2000), (600, 8000), (600, 32_000), (1000, 8000)):
        assert extra_time_s(seconds * bytes_per_s) > seconds, "speech may come in real time"
    assert extra_time_s(64 * 2**20) < 1900
    rates = [1000 / (extra_time_s(size + 1000) - extra_time_s(size)) for size in range(0, 10_000_000, 100_000)]
    assert rates == sorted(rates)
