"""Load clients in processes of their own, for more requests or sessions than one process can send."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.pool import Pool
from threading import BrokenBarrierError

import client

START_S = 60.0


@contextmanager
def client_processes(count: int) -> Iterator[Pool]:
    """Run `count` processes until the block ends; all have started when it begins.

    Their functions must be importable, and arguments and results picklable. Of `count` tasks each process gets one,
    provided that none ends before the last has begun. `time.perf_counter` is the same in all processes.

    Raises:
        client.Failure: they do not start.
    """
    context = get_context("spawn")  # a fork would inherit threads' locks
    started = context.Barrier(count + 1)
    with context.Pool(count, initializer=started.wait, initargs=(START_S,)) as pool:
        try:
            started.wait(START_S)
        except BrokenBarrierError:
            raise client.Failure(f"{count} client processes did not start within {START_S:g} s") from None
        yield pool
