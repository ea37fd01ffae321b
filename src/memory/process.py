"""What is there to stay is not searched for garbage; what is free goes back to the system when there is nothing to do.

glibc keeps what a burst of uploads and batches has freed: after an overload of the bundled model 370 of 1,245 MB were
such memory. Other allocators and systems have no `malloc_trim`; there nothing is done.
"""

import asyncio
import ctypes
import gc
import logging
import os
from collections.abc import Callable

log = logging.getLogger(__name__)

TRIM_PERIOD_S = 5.0
"""Also under load: a peak that has passed would otherwise stay for as long as the load does."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""mallopt(3); glibc's malloc.h."""
MAX_HEAP_BLOCK_BYTES = 32 * 1024 * 1024
MAX_FREE_BYTES = 64 * 1024 * 1024
"""To what glibc raises the thresholds itself when it is given back blocks so large (malloc.c), as by a batch's."""

CACHE_VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""Of ideep, PyTorch's bridge to oneDNN (lru_cache.hpp), and of oneDNN (its guide, "Primitive Cache")."""
CACHED_PRIMITIVES = "128"
"""Eight batches' worth: one of the bundled model needs 16, and layers that are alike share them."""


def limit_onednn_caches() -> None:
    """Keep what oneDNN prepares for shapes of batches within bounds; to be called before torch is loaded.

    It keeps 1,024 of them, some for each pair of clips and length, and lengths are ever other ones: with the bundled
    model that took 65 MB in 450 batches, and takes 20 MB with these bounds, all in the first 60. Who has set the
    variables knows better.
    """
    for variable in CACHE_VARIABLES:
        os.environ.setdefault(variable, CACHED_PRIMITIVES)


def limit_malloc_arenas() -> None:
    """Have all threads share two heaps; to be called before there are any.

    glibc gives threads heaps of their own, eight for each core, and what one has freed no other takes: under mixed load
    the service grew to 1,608 MB in six minutes, and with two heaps to 1,206 MB in one (bundled model, two cores).
    """
    _mallopt(M_ARENA_MAX, 2)


def keep_freed_blocks() -> None:
    """Have the heaps keep what is freed until it is trimmed.

    At first glibc gives blocks of 128 KiB back to the system at once, and the next ones are paged in anew: 150 pages
    for 10 s of audio, a fifth of what a request costs besides the model.
    """
    _mallopt(M_MMAP_THRESHOLD, MAX_HEAP_BLOCK_BYTES)
    _mallopt(M_TRIM_THRESHOLD, MAX_FREE_BYTES)


def freeze_gc() -> None:
    """Exempt everything that is there now from garbage collection, for good.

    A loaded model and its libraries are 730,000 objects. To look through them takes 0.4 s in which no thread runs, and
    Python does it whenever enough new ones have come to stay.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # Python collects in full when a quarter has been added to what the last time left over: now nothing


async def trim_heap_periodically(work_done: Callable[[], int]) -> None:
    """Trim the heap, for ever, whenever there has been work since the last time, as a growing number of it says.

    Not only batches leave memory behind: so do sessions that end without one, and files that are refused.
    """
    trimmed_after = 0
    while True:
        await asyncio.sleep(TRIM_PERIOD_S)
        if work_done() > trimmed_after:
            trimmed_after = work_done()
            try:
                await asyncio.to_thread(trim_heap)
            except Exception:
                log.exception("Free memory could not be given back.")


def trim_heap() -> None:
    """Return free heap pages to the system; takes some milliseconds for each hundred megabytes.

    What only refers to itself is freed before, such as the buffers of sessions whose clients have vanished.
    """
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)


def _mallopt(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(parameter, value)
