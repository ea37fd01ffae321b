"""Waiting for a memory budget (src.memory.budget_queue)."""

import asyncio

import pytest

from src.errors import DecoderUnavailable
from src.memory.budget import Budget
from src.memory.budget_queue import BudgetQueue


def queue_of(size_bytes: int, wait_s: float = 60) -> BudgetQueue:
    return BudgetQueue(Budget(size_bytes), wait_s, lambda: DecoderUnavailable("Full.", retry_after_s=wait_s))


async def test_those_who_wait_are_served_in_their_order_as_room_comes():
    queue = queue_of(100)
    served = []

    async def use(name: str, size: int) -> None:
        async with queue.reserved(size):
            served.append(name)

    async with queue.reserved(90) as held:
        waiting = []
        for name, size in (("large", 80), ("small", 5), ("other", 20)):
            waiting.append(asyncio.create_task(use(name, size)))
            await asyncio.sleep(0)
        assert served == [], "who is small does not overtake"
        async with queue.reserved(0):
            assert served == [], "but nothing needs no room"
        queue.shrink(held, 50)
        await asyncio.sleep(0)
        assert served == []
        queue.shrink(held, 20)
        await asyncio.gather(*waiting)
    assert served == ["large", "small", "other"]


async def test_who_has_waited_in_vain_gets_the_error_and_hinders_nobody():
    queue = queue_of(100, 0.01)
    async with queue.reserved(90):
        with pytest.raises(DecoderUnavailable, match="Full") as refused:
            async with queue.reserved(20):
                pass
        assert refused.value.retry_after_s == 0.01
        async with queue.reserved(10):
            pass
    async with queue.reserved(100):
        pass


async def test_who_leaves_while_waiting_hinders_nobody():
    queue = queue_of(100)
    async with queue.reserved(90):
        waiting = [asyncio.create_task(queue.reserved(20).__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with queue.reserved(10):
            pass
