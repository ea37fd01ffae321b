"""When audio was due: as it was spoken, however it came."""

import pytest

from src.api.audio_clock import MAX_APPEND_S, AudioClock

BEGAN_AT = 1000.0


@pytest.fixture
def clock():
    clock = AudioClock()
    clock.begin(0.1, BEGAN_AT + 0.1)  # the first 0.1 s of audio
    return clock


def test_audio_in_real_time_is_due_when_it_came(clock):
    assert clock.due_at(5.0, 0.0, BEGAN_AT + 5.0) == pytest.approx(BEGAN_AT + 5.0)
    assert clock.due_at(5.0, 2.0, BEGAN_AT + 5.0) == pytest.approx(BEGAN_AT + 3.0)


def test_only_the_first_audio_begins_the_clock(clock):
    clock.begin(5.0, BEGAN_AT + 100)
    assert clock.due_at(5.0, 0.0, BEGAN_AT + 5.0) == pytest.approx(BEGAN_AT + 5.0)


def test_after_a_pause_without_audio_it_is_due_when_it_came_and_not_late(clock):
    """The client sent nothing for a minute: what comes now was not spoken a minute ago."""
    assert clock.due_at(5.0, 0.0, BEGAN_AT + 65.0) == pytest.approx(BEGAN_AT + 65.0)
    assert clock.due_at(6.0, 1.0, BEGAN_AT + 66.0) == pytest.approx(BEGAN_AT + 65.0)


def test_who_sends_an_hour_at_once_is_not_late():
    clock = AudioClock()
    clock.begin(3600.0, BEGAN_AT)
    due = [clock.due_at(3600.0, 3600.0 - position, BEGAN_AT + 1) for position in (2.0, 60.0, 1800.0)]
    assert due == [BEGAN_AT - MAX_APPEND_S + position for position in (2.0, 60.0, 1800.0)]


def test_audio_that_came_before_the_clock_began_is_due_when_it_came():
    assert AudioClock().due_at(5.0, 1.0, BEGAN_AT) == BEGAN_AT - 1.0
