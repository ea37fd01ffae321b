"""Garbage collection, caches and heap (src.memory.process). What they save is measured in process/test_memory.py."""

import asyncio
import gc
import os
from contextlib import suppress

import pytest
from virtual_time import in_virtual_time

from src.memory.process import (
    CACHE_VARIABLES,
    CACHED_PRIMITIVES,
    TRIM_PERIOD_S,
    freeze_gc,
    gc_paused,
    limit_onednn_caches,
    trim_heap,
    trim_heap_periodically,
)


def test_the_caches_are_limited_unless_the_environment_says_otherwise(monkeypatch):
    first, second = CACHE_VARIABLES
    monkeypatch.delenv(first, raising=False)
    monkeypatch.setenv(second, "7")
    limit_onednn_caches()
    assert (os.environ[first], os.environ[second]) == (CACHED_PRIMITIVES, "7")


def test_what_is_frozen_is_not_searched_for_garbage():
    before, after = [object()], None
    try:
        freeze_gc()
        after = [object()]
        searched = [id(each) for each in gc.get_objects()]
        assert id(before) not in searched
        assert id(after) in searched
    finally:
        gc.unfreeze()


def test_garbage_is_left_alone_within_the_block_and_looked_for_after_it_also_if_the_block_fails():
    with suppress(ValueError), gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            pass
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_a_trim_frees_what_refers_only_to_itself():
    cycle: list[object] = []
    cycle.append(cycle)
    freed = []

    class Marker:
        """Says when it is freed."""

        def __del__(self) -> None:
            freed.append(True)

    cycle.append(Marker())
    del cycle
    trim_heap()
    assert freed == [True]


class Trims:
    """Counts trims, of which the first may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.count = 0
        self._fails = fails

    def __call__(self) -> None:
        self.count += 1
        if self._fails and self.count == 1:
            raise OSError("no libc")


@in_virtual_time
async def test_the_heap_is_trimmed_only_after_work(monkeypatch):
    trims, work = Trims(), 0
    monkeypatch.setattr("src.memory.process.trim_heap", trims)
    trimming = asyncio.create_task(trim_heap_periodically(lambda: work))
    await asyncio.sleep(100 * TRIM_PERIOD_S)
    assert trims.count == 0
    work = 1
    await asyncio.sleep(100 * TRIM_PERIOD_S)
    assert trims.count == 1
    work = 3
    await asyncio.sleep(TRIM_PERIOD_S)
    assert trims.count == 2
    trimming.cancel()
    with suppress(asyncio.CancelledError):
        await trimming


@in_virtual_time
async def test_a_trim_that_fails_is_logged_and_the_next_one_comes(monkeypatch, caplog):
    trims, work = Trims(fails=True), 1
    monkeypatch.setattr("src.memory.process.trim_heap", trims)
    trimming = asyncio.create_task(trim_heap_periodically(lambda: work))
    await asyncio.sleep(2 * TRIM_PERIOD_S)
    work = 2
    await asyncio.sleep(2 * TRIM_PERIOD_S)
    assert trims.count == 2
    assert caplog.text.count("Free memory could not be returned to the system.") == 1
    trimming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trimming
