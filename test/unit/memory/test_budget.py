"""Memory that many share: nobody gets what others hold, shares are sure, and who waits gets what is given back."""

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import DecoderUnavailable
from src.memory.budget import Budget, Room

WAIT_S = 60


def room_of(size: int, wait_s: float = WAIT_S) -> Room:
    return Room(Budget(size), wait_s, lambda: DecoderUnavailable("Full.", retry_after_s=wait_s))


def test_together_they_hold_no_more_than_the_sum():
    budget = Budget(100)
    with budget.joined() as one, budget.joined() as other:
        assert one.hold(60)
        assert not other.hold(41)
        assert other.hold(40)
        assert not one.hold(61)
        assert one.hold(10)
        assert other.hold(90)
        assert budget.held_bytes == 100
    assert budget.held_bytes == 0


def test_who_is_alone_may_hold_anything_and_others_wait_for_that():
    budget = Budget(100)
    with budget.joined() as other:
        with budget.joined() as alone:
            assert alone.hold(1_000)
            assert not other.hold(1)
            assert alone.hold(1_100)
        assert other.hold(100)


def test_a_share_is_there_whatever_others_hold():
    budget = Budget(100, shares=5)
    with ExitStack() as stack:
        sure = [stack.enter_context(budget.joined(sure=True)) for _ in range(6)]
        assert sure[0].hold(60)  # its share of 10 and what is there for all
        for each in sure[1:5]:
            assert each.hold(10)
            assert not each.hold(11)
        assert not sure[5].hold(1), "all shares are taken"
        assert budget.held_bytes == 100
        assert sure[0].hold(59)
        assert sure[5].hold(1)


def test_one_at_a_time_may_go_beyond_the_sum_until_all_is_within_it_again():
    budget = Budget(100)
    with budget.joined() as one, budget.joined() as other, budget.joined() as third:
        assert one.hold(60)
        assert other.hold(40)
        assert one.overdraw(80)
        assert one.overdraw(90)
        assert one.hold(80)
        assert not other.overdraw(41)
        assert other.hold(30)
        assert not third.hold(1)
        assert not third.overdraw(1)
        assert one.hold(60)
        assert third.overdraw(20)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), max_size=40), st.integers(0, 4))
def test_whatever_they_ask_for_the_sum_holds_and_comes_back(wishes, shares):
    budget = Budget(100, shares)
    with ExitStack() as stack:
        held = [stack.enter_context(budget.joined(sure=True)) for _ in range(6)]
        for index, size in wishes:
            was = held[index].bytes
            assert held[index].hold(size) or size > was
            assert budget.held_bytes <= 100
    with budget.joined() as one, budget.joined() as other:
        free = 100 - shares * (50 // shares) if shares else 100
        assert one.hold(1)
        assert other.hold(free - 1)
        assert not other.hold(free)


async def test_those_who_wait_are_served_in_their_order_as_room_comes():
    room = room_of(100)
    served = []

    async def use(name: str, size: int) -> None:
        async with room.taken(size):
            served.append(name)

    async with room.taken(90) as held:
        waiting = []
        for name, size in (("large", 80), ("small", 5), ("other", 20)):
            waiting.append(asyncio.create_task(use(name, size)))
            await asyncio.sleep(0)
        assert served == [], "who is small does not overtake"
        async with room.taken(0):
            assert served == [], "but nothing needs no room"
        room.shrink(held, 50)
        await asyncio.sleep(0)
        assert served == []
        room.shrink(held, 20)
        await asyncio.gather(*waiting)
    assert served == ["large", "small", "other"]


async def test_who_has_waited_in_vain_is_told_to_try_again_and_hinders_nobody():
    room = room_of(100, 0.01)
    async with room.taken(90):
        with pytest.raises(DecoderUnavailable, match="Full") as refused:
            async with room.taken(20):
                pass
        assert refused.value.retry_after_s == 0.01
        async with room.taken(10):
            pass
    async with room.taken(100):
        pass


async def test_who_leaves_while_waiting_hinders_nobody():
    room = room_of(100)
    async with room.taken(90):
        waiting = [asyncio.create_task(room.taken(20).__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with room.taken(10):
            pass
