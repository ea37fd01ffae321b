"""The windows of an utterance: on the fixed grid, and in steps as short as the model has time for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from live_text import default

from src.engine.frames import SAMPLES_PER_FRAME, frames_in
from src.engine.windowing import Windowing
from src.realtime.chunk_ends import ChunkEnd
from src.realtime.window_plan import WindowPlan

SECOND = 16_000


def frames(seconds: float) -> int:
    """Return the whole frames in a length of audio."""
    return int(seconds * SECOND) // SAMPLES_PER_FRAME


NOWHERE = ChunkEnd(0)


def test_a_step_in_time_sees_all_audio_so_far_and_takes_the_chunk_that_ends_where_it_may():
    plan = WindowPlan(default(), 10)
    plan.advance(plan.next_in_time(3 * SECOND, False, ChunkEnd(20)))
    assert plan.decoded_frames == 20
    assert not plan.is_due(3 * SECOND + 3000, 0.24)
    assert plan.is_due(int(3.3 * SECOND), 0.24)
    window = plan.next_in_time(int(3.3 * SECOND), False, ChunkEnd(25, (1, 2)))
    assert window.stop == frames(3.3) * SAMPLES_PER_FRAME
    assert (window.start, window.skip_frames, window.take_frames, window.expected) == (0, 20, 5, (1, 2))


def test_a_chunk_that_does_not_count_was_only_a_look():
    plan = WindowPlan(default(), 10)
    window = plan.next_in_time(2 * SECOND, False, ChunkEnd(10, (1,)))
    plan.advance(window, counts=False)
    assert (plan.decoded_frames, plan.seen_frames) == (0, frames(2))
    assert not plan.is_due(2 * SECOND, 0.24)


def test_a_look_comes_no_more_often_than_the_step_allows():
    plan = WindowPlan(default(), 10)
    looks = 0
    for samples in range(1, 10 * SECOND, 160):
        while plan.is_due(samples, 0.48):
            plan.advance(plan.next_in_time(samples, False, NOWHERE))
            looks += 1
    assert looks == 10 / 0.48 // 1


def test_steps_in_time_that_lag_take_only_so_much_at_once():
    plan = WindowPlan(default(), 10)
    window = plan.next_in_time(60 * SECOND, False, NOWHERE)
    assert window.take_frames == frames(10)
    assert window.stop == frames(10 + 0.96) * SAMPLES_PER_FRAME


def test_steps_as_long_as_a_chunk_or_longer_are_chunks_of_that_length_with_their_right_context():
    windowing = default()
    for step_s in (windowing.chunk_s, 2 * windowing.chunk_s):
        plan, ends = WindowPlan(windowing, 10), []
        for samples in range(0, 12 * SECOND, 160):
            while window := plan.next_on_grid(samples, False, step_s):
                assert plan.is_due(samples, step_s)
                assert window.stop == samples // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME, "at once"
                plan.advance(window)
                ends.append(plan.decoded_frames)
            assert not plan.is_due(samples, step_s)
        assert ends[0] == windowing.first_frames, "the first text waits no longer than ever"
        assert {after - before for before, after in pairwise(ends)} == {frames(step_s)}


def test_steps_may_become_longer_and_shorter_while_somebody_speaks():
    windowing = default()
    plan = WindowPlan(windowing, 10)
    assert [plan.is_on_grid(step_s) for step_s in (0.24, 0.88, 0.96, 1.92, None)] == [False, False, True, True, True]
    plan.advance(plan.next_in_time(3 * SECOND, False, ChunkEnd(20)))
    due = plan.due_at(1.92)
    assert due == (20 + frames(1.92) + windowing.right_frames) * SAMPLES_PER_FRAME
    assert plan.next_on_grid(due - 1, False, 1.92) is None
    plan.advance(plan.next_on_grid(due, False, 1.92))
    assert plan.due_at(0.24) == due + 3 * SAMPLES_PER_FRAME


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
    """Return the next window, whose chunk may end up to so many frames after the last."""
    if plan.is_on_grid(step_s):
        return plan.next_on_grid(samples, ended, step_s)
    if not ended and not plan.is_due(samples, step_s):
        return None
    end = min(samples // SAMPLES_PER_FRAME, plan.decoded_frames + more_settled)
    return plan.next_in_time(samples, ended, ChunkEnd(end))


def test_audio_too_short_for_a_frame_is_no_step():
    plan = WindowPlan(default(), 10)
    assert not plan.is_due(1279, 0.0)
    assert plan.next_in_time(100, True, NOWHERE) is None
