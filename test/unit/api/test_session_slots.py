"""Slots for sessions: who gets one when all are taken, and whose session is evicted."""

import asyncio

import pytest

from src.api.session_slots import EVICTABLE_AFTER_S, SessionSlots
from src.errors import TooManySessions


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_a_new_session_is_rejected_while_all_slots_are_in_use(clock):
    slots = SessionSlots(2, clock)
    with slots.acquire() as first, slots.acquire() as second:
        clock.now_s += EVICTABLE_AFTER_S - 1
        with pytest.raises(TooManySessions), slots.acquire():
            pass
        assert not first.should_end.is_set()
        assert not second.should_end.is_set()
    with slots.acquire():
        assert len(slots) == 1


def test_the_session_that_has_been_idle_longest_is_evicted(clock):
    slots = SessionSlots(2, clock)
    with slots.acquire() as first, slots.acquire() as second:
        clock.now_s += EVICTABLE_AFTER_S
        assert slots.idle_s(first) == EVICTABLE_AFTER_S
        slots.touch(first)
        assert slots.idle_s(first) == 0
        with slots.acquire() as third:
            assert second.should_end.is_set()
            assert not first.should_end.is_set()
            assert not third.should_end.is_set()
            with pytest.raises(TooManySessions), slots.acquire():
                pass


def test_evicted_sessions_that_do_not_end_are_not_replaced_for_ever(clock):
    slots = SessionSlots(1, clock)
    with slots.acquire():
        clock.now_s += EVICTABLE_AFTER_S
        with slots.acquire():
            clock.now_s += EVICTABLE_AFTER_S
            with pytest.raises(TooManySessions), slots.acquire():
                pass


async def test_a_drain_asks_all_sessions_to_end(clock):
    slots = SessionSlots(2, clock)
    with slots.acquire() as first, slots.acquire() as second:
        await slots.drain(0)
        assert first.should_end.is_set()
        assert second.should_end.is_set()


async def test_a_drain_is_over_as_soon_as_all_sessions_have_ended(clock):
    slots = SessionSlots(2, clock)
    with slots.acquire() as slot:
        draining = asyncio.create_task(slots.drain(3600))
        await slot.should_end.wait()
        assert not draining.done()
    await draining
