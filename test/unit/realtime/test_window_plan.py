"""The windows of an utterance: on the fixed grid, and in steps as short as the model has time for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_text import default

from src.engine.frames import SAMPLES_PER_FRAME, frames_in
from src.engine.windowing import Windowing
from src.realtime.window_plan import WHOLE_S, WindowPlan

SECOND = 16_000


def frames(seconds: float) -> int:
    """Return the whole frames in a length of audio."""
    return int(seconds * SECOND) // SAMPLES_PER_FRAME


def test_a_step_in_time_sees_all_audio_so_far_and_takes_what_has_its_right_context():
    plan = WindowPlan(default(), 10)
    plan.advance(plan.next_in_time(3 * SECOND, False, 0.24, 0, False))
    taken = plan.decoded_frames
    assert taken == frames(3) - default().right_frames
    assert plan.next_in_time(3 * SECOND + 3000, False, 0.24, 0, False) is None, "not yet 0.24 s"
    window = plan.next_in_time(int(3.3 * SECOND), False, 0.24, 0, False)
    assert window.stop == frames(3.3) * SAMPLES_PER_FRAME
    assert window.take_frames == frames(3.3) - frames(3)
    assert (window.start, window.skip_frames) == (0, taken)


def test_a_chunk_reaches_as_far_as_text_is_settled():
    plan = WindowPlan(default(), 10)
    assert plan.next_in_time(SECOND, False, 0.24, 0, False).take_frames == 0
    window = plan.next_in_time(SECOND, False, 0.24, 5, False)
    assert window.take_frames == 5
    plan.advance(window)
    assert plan.next_in_time(round(1.3 * SECOND), False, 0.24, 5, False).take_frames == 0


def test_a_look_comes_no_more_often_than_the_step_allows():
    plan = WindowPlan(default(), 10)
    looks = 0
    for samples in range(1, 10 * SECOND, 160):
        while window := plan.next_in_time(samples, False, 0.48, 0, False):
            plan.advance(window)
            looks += 1
    assert looks == 10 / 0.48 // 1


def test_steps_in_time_that_lag_take_only_so_much_at_once():
    plan = WindowPlan(default(), 10)
    window = plan.next_in_time(60 * SECOND, False, 0.24, 0, False)
    assert window.take_frames == frames(10)
    assert window.stop == frames(10 + 0.96) * SAMPLES_PER_FRAME


def test_a_window_to_decode_as_a_whole_begins_with_the_utterance_unless_that_is_long():
    plan = WindowPlan(default(), 10)
    plan.advance(plan.next_in_time(8 * SECOND, False, 0.24, 0, False))
    short = plan.next_in_time(9 * SECOND, False, 0.24, 0, True)
    assert (short.start, short.skip_frames, short.whole) == (0, plan.decoded_frames, True)
    assert not plan.next_in_time(9 * SECOND, False, 0.24, 0, False).whole
    plan.advance(short)
    long = plan.next_in_time(round((WHOLE_S + 0.2) * SECOND), False, 0.24, 0, True)
    assert long.skip_frames == default().left_frames
    assert not long.whole


ARRIVALS = st.lists(st.integers(0, 20_000) | st.integers(0, 400), max_size=12)
WINDOWINGS = st.builds(Windowing, *[st.sampled_from([0.0, 0.08, 0.24, 0.5, 0.96])] * 3)
STEPS_S = st.sampled_from([None, 0.08, 0.24, 1.92])


@given(WINDOWINGS, ARRIVALS, st.lists(STEPS_S, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_every_frame_is_decoded_once_and_in_order_whatever_the_steps(windowing, arrivals, steps_s, chance):
    plan = WindowPlan(windowing, 2.5)
    samples = taken = 0
    for more in [*arrivals, None]:
        ended = more is None
        samples += more or 0
        while window := _next(plan, samples, ended, chance.choice(steps_s), chance.randint(0, 9)):
            first = window.start + window.skip_frames * SAMPLES_PER_FRAME
            assert first == taken * SAMPLES_PER_FRAME
            assert 0 <= window.start < window.stop <= samples
            assert window.take_frames >= 0
            assert window.skip_frames == min(taken, windowing.left_frames)
            taken += window.take_frames
            assert taken <= frames_in(window.stop)
            plan.advance(window)
    assert taken == frames_in(samples)


def _next(plan, samples, ended, step_s, more_settled):
    """Return the next window, with some of what was seen settled."""
    if step_s is None:
        return plan.next_on_grid(samples, ended)
    settled = max(plan.decoded_frames, min(plan.seen_frames, plan.decoded_frames + more_settled))
    return plan.next_in_time(samples, ended, step_s, settled, False)


@pytest.mark.parametrize("ended", [False, True])
def test_no_audio_is_no_step(ended):
    assert WindowPlan(default(), 10).next_in_time(100, ended, 0.24, 0, False) is None
