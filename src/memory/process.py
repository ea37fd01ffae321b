"""Keep garbage collection off long-lived objects, and return free heap to the system.

glibc keeps memory that a burst of uploads and batches has freed: 370 of 1,245 MB after an overload of the bundled
model. Other allocators and systems have no `malloc_trim`; nothing is done there.
"""

import asyncio
import ctypes
import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

TRIM_PERIOD_S = 5.0
"""It is trimmed under load too: otherwise the memory of a peak would stay as long as the load."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3), from glibc's malloc.h."""
MAX_HEAP_BLOCK_BYTES = 32 * 1024 * 1024
MAX_FREE_BYTES = 64 * 1024 * 1024
"""The thresholds to which glibc itself goes once blocks so large are freed (malloc.c), such as a batch's."""

CACHE_VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""Cache sizes of ideep, PyTorch's bridge to oneDNN (lru_cache.hpp), and of oneDNN (its guide, "Primitive Cache")."""
CACHED_PRIMITIVES = "128"
"""Enough for eight batches: one of the bundled model needs 16, and equal layers share them."""


def limit_onednn_caches() -> None:
    """Limit oneDNN's caches. To be called before torch is loaded.

    oneDNN caches 1,024 primitives, some for each number of clips and length, and lengths hardly repeat. With the
    bundled model they took 65 MB in 450 batches; with this limit they take 20 MB, all in the first 60. Values already
    set in the environment are kept.
    """
    for variable in CACHE_VARIABLES:
        os.environ.setdefault(variable, CACHED_PRIMITIVES)


def limit_malloc_arenas() -> None:
    """Let all threads share two heaps. To be called before there are threads.

    By default glibc has up to eight heaps for each core, and memory freed in one is not reused in another. Under mixed
    load the service grew to 1,608 MB within six minutes, and with two heaps to 1,206 MB within one (bundled model, two
    cores).
    """
    _mallopt(M_ARENA_MAX, 2)


def keep_freed_blocks() -> None:
    """Let the heaps keep freed blocks until they are trimmed.

    By default glibc returns blocks of 128 KiB and more to the system at once, and new ones are paged in again: 150
    pages for 10 s of audio, a fifth of a request's cost without the model.
    """
    _mallopt(M_MMAP_THRESHOLD, MAX_HEAP_BLOCK_BYTES)
    _mallopt(M_TRIM_THRESHOLD, MAX_FREE_BYTES)


def freeze_gc() -> None:
    """Exempt all objects that exist now from garbage collection, for good.

    A loaded model and its libraries are 730,000 objects. A search through them takes 0.4 s in which no thread runs, and
    Python does it each time that enough new objects have survived.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # a full one is due when new survivors exceed a quarter of those of the last one: now none


@contextmanager
def gc_paused() -> Iterator[None]:
    """Do not look for garbage within the block, in any thread.

    Importing NeMo makes hundreds of thousands of objects, which stay. Looking through them again and again takes a
    fifth of its time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


async def trim_heap_periodically(work_done: Callable[[], int]) -> None:
    """Trim the heap every `TRIM_PERIOD_S` if there was work since the last time. Runs until cancelled.

    Args:
        work_done: returns a number that grows with the work done. Batches are not the only work that leaves memory
            behind: so do sessions that end without one, and files that are rejected.
    """
    trimmed_after = 0
    while True:
        await asyncio.sleep(TRIM_PERIOD_S)
        if work_done() > trimmed_after:
            trimmed_after = work_done()
            try:
                await asyncio.to_thread(trim_heap)
            except Exception:
                log.exception("Free memory could not be returned to the system.")


def trim_heap() -> None:
    """Return free heap pages to the system. It takes some milliseconds for each hundred megabytes.

    Objects in reference cycles are freed first, such as the buffers of sessions whose clients have vanished.
    """
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)


def _mallopt(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(parameter, value)
