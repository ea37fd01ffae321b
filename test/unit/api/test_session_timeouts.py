"""When a session times out: its age, and the silence of its client."""

import pytest

from src.api.session_timeouts import SessionTimeouts


@pytest.fixture
def timeouts():
    return SessionTimeouts(session_s=120, idle_s=10)


def test_it_is_asked_again_when_the_silence_or_the_session_may_have_lasted_long_enough(timeouts):
    assert timeouts.left_s(0, 0, is_awaited=False) == 10
    assert timeouts.left_s(30, 4, is_awaited=False) == 6
    assert timeouts.left_s(115, 1, is_awaited=False) == 5


def test_a_silent_client_is_idle(timeouts):
    assert timeouts.left_s(30, 10, is_awaited=False) <= 0
    assert timeouts.reason(30) == "Your session was idle for 10 seconds."


def test_a_client_that_waits_for_the_server_is_not_idle_and_may_think_about_the_answer(timeouts):
    assert timeouts.left_s(30, 10, is_awaited=True) == 10
    assert timeouts.left_s(40, 20, is_awaited=True) == 10
    assert timeouts.left_s(45, 25, is_awaited=False) == 5
    assert timeouts.left_s(50, 30, is_awaited=False) <= 0


def test_a_session_has_a_longest_duration_whatever_its_client_does(timeouts):
    assert timeouts.left_s(120, 0, is_awaited=True) <= 0
    assert timeouts.reason(120) == "Your session hit the maximum duration of 2 minutes."


def test_a_short_limit_is_told_in_seconds():
    assert SessionTimeouts(5, 0.5).reason(5) == "Your session hit the maximum duration of 5 seconds."
    assert SessionTimeouts(5, 0.5).reason(1) == "Your session was idle for 0.5 seconds."
