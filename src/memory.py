"""What is there to stay is not searched for garbage; what is free goes back to the system when there is nothing to do.

glibc keeps what a burst of uploads and batches has freed: after an overload of the bundled model 370 of 1,245 MB were
such memory. Other allocators and systems have no `malloc_trim`; there nothing is done.
"""

import asyncio
import ctypes
import gc
import logging

from src.scheduling.scheduler import Scheduler

log = logging.getLogger(__name__)

TRIM_PERIOD_S = 5.0
"""Also under load: a peak that has passed would otherwise stay for as long as the load does."""
M_ARENA_MAX = -8
"""mallopt(3); glibc's malloc.h."""


def bound_arenas() -> None:
    """Have all threads share two heaps; to be called before there are any.

    glibc gives threads heaps of their own, eight for each core, and what one has freed no other takes: under mixed load
    the service grew to 1,608 MB in six minutes, and with two heaps to 1,206 MB in one (bundled model, two cores).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 2)


def settle() -> None:
    """Exempt everything that is there now from garbage collection, for good.

    A loaded model and its libraries are 730,000 objects. To look through them takes 0.4 s in which no thread runs, and
    Python does it whenever enough new ones have come to stay.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # Python collects in full when a quarter has been added to what the last time left over: now nothing


async def keep_trimmed(scheduler: Scheduler) -> None:
    """Watch the scheduler for ever, and trim the heap whenever there has been work since the last time."""
    trimmed_after = 0
    while True:
        await asyncio.sleep(TRIM_PERIOD_S)
        if scheduler.batches_run > trimmed_after:
            trimmed_after = scheduler.batches_run
            try:
                await asyncio.to_thread(trim)
            except Exception:
                log.exception("Free memory could not be given back.")


def trim() -> None:
    """Return free heap pages to the system; takes some milliseconds for each hundred megabytes.

    What only refers to itself is freed before, such as the buffers of sessions whose clients have vanished.
    """
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)
