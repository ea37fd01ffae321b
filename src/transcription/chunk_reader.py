"""Reading the chunks or blocks of a source: decoding and cutting, as far as they are asked for."""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import islice
from typing import Generic, TypeVar

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.sandbox import Decoding
from src.memory.budget import Reservation
from src.metrics.trace import Measurements

_Part = TypeVar("_Part")


class ChunkReader(Generic[_Part]):
    """Reads chunks, or blocks that are not cut, from an iterator that decodes and cuts.

    Args:
        chunks: decodes and cuts.
        pool: threads in which that is done; None to do it in the event loop, if it takes less than the 0.1 ms that a
            switch to a thread takes.
        measured: gets the time that it takes.
        decoding: the run of a decode worker, if one is needed.
        worker_memory: waits for the memory of that worker, and reserves it.
    """

    def __init__(
        self,
        chunks: Iterator[_Part],
        pool: Executor | None,
        measured: Measurements,
        decoding: Decoding | None = None,
        worker_memory: AbstractAsyncContextManager[Reservation] | None = None,
    ) -> None:
        self._chunks = chunks
        self._pool = pool
        self._measured = measured
        self._decoding = decoding
        self._worker_memory = worker_memory
        self._reserved = AsyncExitStack()

    async def rest(self) -> list[_Part]:
        """Return all chunks that are left. Errors are those of `next`."""
        return await self.next(sys.maxsize)

    async def next(self, count: int) -> list[_Part]:
        """Return the next `count` chunks, or fewer at the end. The memory of a worker that has ended is released.

        Raises:
            DecoderUnavailable: there is no memory for the worker within the time limit.
            Exception: what decoding raises.
        """
        started = time.monotonic()
        try:
            if self._worker_memory is not None:
                memory, self._worker_memory = self._worker_memory, None
                await self._reserved.enter_async_context(memory)
            next_chunks = islice(self._chunks, count)
            if self._pool is None:
                chunks = list(next_chunks)
            else:
                chunks = await asyncio.get_running_loop().run_in_executor(self._pool, list, next_chunks)
        finally:
            self._measured.add_preprocessing(time.monotonic() - started)
        # The worker of a file that is read ahead has ended long before the model has heard its chunks.
        if len(chunks) < count or (self._decoding and self._decoding.has_ended):
            await self._reserved.aclose()
        return chunks

    async def aclose(self) -> None:
        """Stop the worker and release its memory."""
        if self._decoding:
            self._decoding.cancel()
        await self._reserved.aclose()


def measure_audio(blocks: Iterable[Samples], measured: Measurements) -> Iterator[Samples]:
    """Yield blocks, and add their length to `measured`."""
    for block in blocks:
        measured.add_audio(len(block) / SAMPLE_RATE)
        yield block


def read_ahead(blocks: Iterable[Samples], seconds: float) -> Iterator[Samples]:
    """Yield blocks, the first one only when `seconds` of audio are read.

    A file that exceeds the limit on audio length within that time is then rejected before the model has worked on it.
    """
    blocks = iter(blocks)
    held: list[Samples] = []
    held_s = 0.0
    for block in blocks:
        held.append(block)
        held_s += len(block) / SAMPLE_RATE
        if held_s >= seconds:
            break
    held.reverse()
    while held:
        yield held.pop()
    yield from blocks
