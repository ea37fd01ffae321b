"""Reading chunks: where it is done, what it holds meanwhile, and what is measured."""

import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest

from src.audio.chunking import Chunk
from src.audio.samples import Samples
from src.audio.sandbox import Decoding, Sandbox
from src.audio.worker import DecodeTask
from src.memory.budget import Budget, Reservation
from src.metrics.trace import Measurements
from src.transcription.chunk_reader import ChunkReader, measure_audio, read_ahead

SECOND = np.zeros(16_000, np.float32)


def chunks(count: int, threads: set[str]) -> Iterator[Chunk]:
    for number in range(count):
        threads.add(threading.current_thread().name)
        yield Chunk(SECOND, number, number, number + 1)


@asynccontextmanager
async def memory(budget: Budget) -> AsyncIterator[Reservation]:
    with budget.reserved() as reservation:
        reservation.resize(1)
        yield reservation


async def test_chunks_come_in_order_and_fewer_at_the_end():
    reader = ChunkReader(chunks(3, set()), None, Measurements())
    assert [chunk.start_s for chunk in await reader.next(2)] == [0, 1]
    assert [chunk.start_s for chunk in await reader.next(2)] == [2]
    assert await reader.next(2) == []


async def test_they_are_decoded_in_the_pool_or_without_one_in_the_event_loop():
    here: set[str] = set()
    await ChunkReader(chunks(1, here), None, Measurements()).next(1)
    assert here == {threading.current_thread().name}
    there: set[str] = set()
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        await ChunkReader(chunks(1, there), pool, Measurements()).next(1)
    assert there == {"pool_0"}


class WorkerlessDecoding(Decoding):
    """A decoding of 20 blocks without a worker."""

    def __init__(self) -> None:
        sandbox = Sandbox(timeout_s=1, memory_mb=1, total_mb=5, max_workers=1)
        super().__init__(sandbox, b"", DecodeTask(60, 1, 1))

    def blocks(self) -> Generator[Samples, None, None]:
        yield from [SECOND] * 20
        self.has_ended = True


@pytest.mark.parametrize(("ahead_s", "reserved"), [(30, 0), (20, 1), (1, 1)])
async def test_a_workers_memory_is_held_until_it_ends_though_chunks_are_left(ahead_s, reserved):
    budget, decoding = Budget(10), WorkerlessDecoding()
    blocks = read_ahead(decoding.blocks(), ahead_s)
    cut = (Chunk(block, number, number, number + 1) for number, block in enumerate(blocks))
    reader = ChunkReader(cut, None, Measurements(), decoding, memory(budget))
    await reader.next(1)
    assert budget.reserved_bytes == reserved
    assert len(await reader.next(19)) == 19
    assert await reader.next(1) == []
    assert budget.reserved_bytes == 0
    await reader.aclose()


async def test_a_workers_memory_is_held_from_the_first_chunk_to_the_last():
    budget = Budget(10)
    reader = ChunkReader(chunks(2, set()), None, Measurements(), worker_memory=memory(budget))
    assert budget.reserved_bytes == 0
    await reader.next(1)
    assert budget.reserved_bytes == 1
    await reader.next(2)
    assert budget.reserved_bytes == 0


async def test_a_workers_memory_is_released_when_the_reader_is_closed():
    budget = Budget(10)
    reader = ChunkReader(chunks(2, set()), None, Measurements(), worker_memory=memory(budget))
    await reader.next(1)
    await reader.aclose()
    assert budget.reserved_bytes == 0


async def test_the_time_is_measured_of_chunks_that_fail_too():
    def failing() -> Iterator[Chunk]:
        raise ValueError("broken")
        yield

    measured = Measurements()
    with pytest.raises(ValueError, match="broken"):
        await ChunkReader(failing(), None, measured).next(1)
    assert measured.duration_preprocess_s is not None


def test_the_length_of_what_passes_is_measured():
    measured = Measurements()
    blocks = measure_audio([SECOND, SECOND[:8000]], measured)
    assert measured.audio_len_s is None
    next(blocks)
    assert measured.audio_len_s == 1
    list(blocks)
    assert measured.audio_len_s == 1.5


def test_so_much_is_read_before_the_first_block_comes():
    read: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(5):
            read.append(number)
            yield np.full(16_000, number, np.float32)

    ahead = read_ahead(blocks(), 2.5)
    assert next(ahead)[0] == 0
    assert read == [0, 1, 2]
    assert [block[0] for block in ahead] == [1, 2, 3, 4]


def test_a_file_that_fails_meanwhile_gives_no_block():
    def blocks() -> Iterator[np.ndarray]:
        yield SECOND
        raise ValueError("too long")

    with pytest.raises(ValueError, match="too long"):
        next(read_ahead(blocks(), 10))
