"""Places for sessions: who gets one when all are taken, and who gives one up."""

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


def test_where_all_places_are_used_a_new_session_is_refused(clock):
    sessions = SessionSlots(2, clock)
    with sessions.acquire() as first, sessions.acquire() as second:
        clock.now_s += EVICTABLE_AFTER_S - 1
        with pytest.raises(TooManySessions), sessions.acquire():
            pass
        assert not first.should_end.is_set()
        assert not second.should_end.is_set()
    with sessions.acquire():
        assert len(sessions) == 1


def test_the_client_that_has_been_silent_longest_gives_up_its_place(clock):
    sessions = SessionSlots(2, clock)
    with sessions.acquire() as first, sessions.acquire() as second:
        clock.now_s += EVICTABLE_AFTER_S
        sessions.touch(first)
        with sessions.acquire() as third:
            assert second.should_end.is_set()
            assert not first.should_end.is_set()
            assert not third.should_end.is_set()
            with pytest.raises(TooManySessions), sessions.acquire():
                pass


def test_sessions_that_do_not_come_to_their_end_are_not_replaced_for_ever(clock):
    sessions = SessionSlots(1, clock)
    with sessions.acquire():
        clock.now_s += EVICTABLE_AFTER_S
        with sessions.acquire():
            clock.now_s += EVICTABLE_AFTER_S
            with pytest.raises(TooManySessions), sessions.acquire():
                pass


async def test_a_drain_asks_all_to_end(clock):
    sessions = SessionSlots(2, clock)
    with sessions.acquire() as first, sessions.acquire() as second:
        await sessions.drain(0)
        assert first.should_end.is_set()
        assert second.should_end.is_set()
