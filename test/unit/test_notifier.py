"""Waiting for a condition (src.notifier)."""

import asyncio

from src.notifier import Notifier


async def test_a_condition_that_holds_is_not_waited_for():
    async with asyncio.timeout(0):
        await Notifier().until(lambda: True)


async def test_each_waiting_task_goes_on_once_its_own_condition_holds():
    changes, reached, finished = Notifier(), 0, []

    async def wait_for(number: int) -> None:
        await changes.until(lambda: reached >= number)
        finished.append(number)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        first, second = tasks.create_task(wait_for(1)), tasks.create_task(wait_for(2))
        await asyncio.sleep(0)  # both wait
        reached = 1
        changes.notify()
        await first
        assert not second.done()
        reached = 2
        changes.notify()
    assert finished == [1, 2]


async def test_a_change_before_the_wait_is_not_lost_on_a_later_condition():
    changes, conditions = Notifier(), iter([False, True])
    changes.notify()
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(changes.until(lambda: next(conditions)))
        await asyncio.sleep(0)
        assert not waiting.done()
        changes.notify()
        await waiting
