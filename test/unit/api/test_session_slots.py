"""Places for sessions: who gets one when all are taken, and who gives one up."""

import pytest

from src.api.session_slots import QUIET_S, Sessions
from src.errors import TooManySessions


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_where_all_places_are_used_a_new_session_is_refused(clock):
    sessions = Sessions(2, clock)
    with sessions.joined() as first, sessions.joined() as second:
        clock.now_s += QUIET_S - 1
        with pytest.raises(TooManySessions), sessions.joined():
            pass
        assert not first.ending.is_set()
        assert not second.ending.is_set()
    with sessions.joined():
        assert len(sessions) == 1


def test_the_client_that_has_been_silent_longest_gives_up_its_place(clock):
    sessions = Sessions(2, clock)
    with sessions.joined() as first, sessions.joined() as second:
        clock.now_s += QUIET_S
        sessions.touch(first)
        with sessions.joined() as third:
            assert second.ending.is_set()
            assert not first.ending.is_set()
            assert not third.ending.is_set()
            with pytest.raises(TooManySessions), sessions.joined():
                pass


def test_sessions_that_do_not_come_to_their_end_are_not_replaced_for_ever(clock):
    sessions = Sessions(1, clock)
    with sessions.joined():
        clock.now_s += QUIET_S
        with sessions.joined():
            clock.now_s += QUIET_S
            with pytest.raises(TooManySessions), sessions.joined():
                pass


async def test_a_drain_asks_all_to_end(clock):
    sessions = Sessions(2, clock)
    with sessions.joined() as first, sessions.joined() as second:
        await sessions.drain(0)
        assert first.ending.is_set()
        assert second.ending.is_set()
