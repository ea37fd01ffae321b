"""A byte budget shared by many holders (src.memory.budget)."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.memory.budget import Budget


def test_together_they_hold_no_more_than_the_sum():
    budget = Budget(100)
    with budget.reserved() as one, budget.reserved() as other:
        assert one.resize(60)
        assert not other.resize(41)
        assert other.resize(40)
        assert not one.resize(61)
        assert one.resize(10)
        assert other.resize(90)
        assert budget.reserved_bytes == 100
    assert budget.reserved_bytes == 0


def test_who_is_alone_may_hold_anything_and_others_wait_for_that():
    budget = Budget(100)
    with budget.reserved() as other:
        with budget.reserved() as alone:
            assert alone.resize(1_000)
            assert not other.resize(1)
            assert alone.resize(1_100)
        assert other.resize(100)


def test_a_reservation_that_was_released_takes_nothing():
    """The thread that still works for a session that has ended may say what it needs."""
    budget = Budget(100, shares=1)
    with budget.reserved(guaranteed=True) as late:
        assert late.resize(80)
    assert late.resize(90)
    assert budget.reserved_bytes == 0
    with budget.reserved() as other, budget.reserved() as third:
        assert other.resize(40)
        assert third.resize(10)


class Overtaken:
    """A lock after whose first release another thread does something."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._meanwhile:
            self._meanwhile.pop()()


@pytest.mark.parametrize("shares", [0, 1])
def test_a_thread_that_asks_for_more_during_the_release_takes_nothing(shares):
    budget = Budget(100, shares)
    late = budget.reserve(guaranteed=True)
    assert late.resize(60)
    budget._lock = Overtaken(lambda: late.resize(90))  # type: ignore[assignment] # as much of a lock as is used
    late.release()
    assert budget.reserved_bytes == 0
    free = 100 - 50 * shares
    with budget.reserved() as other, budget.reserved() as third:
        assert other.resize(1)
        assert third.resize(free - 1)


def test_a_share_is_there_whatever_others_hold():
    budget = Budget(100, shares=5)
    with ExitStack() as stack:
        sure = [stack.enter_context(budget.reserved(guaranteed=True)) for _ in range(6)]
        assert sure[0].resize(60)  # its share of 10 and what is there for all
        for each in sure[1:5]:
            assert each.resize(10)
            assert not each.resize(11)
        assert not sure[5].resize(1), "all shares are taken"
        assert budget.reserved_bytes == 100
        assert sure[0].resize(59)
        assert sure[5].resize(1)


def test_one_at_a_time_may_go_beyond_the_sum_until_all_is_within_it_again():
    budget = Budget(100)
    with budget.reserved() as one, budget.reserved() as other, budget.reserved() as third:
        assert one.resize(60)
        assert other.resize(40)
        assert one.overdraw(80)
        assert one.overdraw(90)
        assert one.resize(80)
        assert not other.overdraw(41)
        assert other.resize(30)
        assert not third.resize(1)
        assert not third.overdraw(1)
        assert one.resize(60)
        assert third.overdraw(20)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), max_size=40), st.integers(0, 4))
def test_whatever_they_ask_for_the_sum_holds_and_comes_back(wishes, shares):
    budget = Budget(100, shares)
    with ExitStack() as stack:
        held = [stack.enter_context(budget.reserved(guaranteed=True)) for _ in range(6)]
        for index, size in wishes:
            was = held[index].bytes
            assert held[index].resize(size) or size > was
            assert budget.reserved_bytes <= 100
    with budget.reserved() as one, budget.reserved() as other:
        free = 100 - shares * (50 // shares) if shares else 100
        assert one.resize(1)
        assert other.resize(free - 1)
        assert not other.resize(free)
