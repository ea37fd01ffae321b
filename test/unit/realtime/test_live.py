"""Live text: how an utterance is cut into windows, and which text is certain."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_text import default

from src.engine.frames import FRAME_SECONDS, SAMPLES_PER_FRAME, frames_in
from src.engine.model import StepResult
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript, StepWindow
from src.text.transcript import Token, text_of


def planned(windowing: Windowing, arrivals: list[int], catch_up_s: float = 0.0) -> list[StepWindow]:
    """Return the windows of an utterance whose samples arrive in these amounts and then end."""
    live = LiveTranscript(windowing, (), catch_up_s)
    windows = []

    def go_on(samples: int, ended: bool) -> None:
        while window := live.next_window(samples, ended):
            live.begin_step(window, np.zeros(window.stop - window.start, np.float32))
            live.finish_step(StepResult((), None))
            windows.append(window)

    for samples in itertools.accumulate(arrivals):
        go_on(samples, ended=False)
    go_on(sum(arrivals), ended=True)
    return windows


SECONDS = st.sampled_from([0.0, 0.08, 0.1, 0.24, 0.5, 0.96])


WINDOWINGS = st.builds(Windowing, SECONDS, SECONDS, SECONDS)


ARRIVALS = st.lists(st.integers(0, 20_000) | st.integers(0, 400), max_size=12)


@given(WINDOWINGS, ARRIVALS, st.sampled_from([0.0, 1.0, 2.5]))
def test_every_frame_is_decoded_once_and_in_order_with_its_context(windowing, arrivals, catch_up_s):
    samples = sum(arrivals)
    taken = 0
    for window in planned(windowing, arrivals, catch_up_s):
        first = window.start + window.skip_frames * SAMPLES_PER_FRAME
        end = first + window.take_frames * SAMPLES_PER_FRAME
        assert first == taken * SAMPLES_PER_FRAME
        assert window.take_frames > 0
        assert window.skip_frames == min(taken, windowing.left_frames)
        assert 0 <= window.start < window.stop <= samples
        assert window.stop in (end + windowing.right_frames * SAMPLES_PER_FRAME, samples)
        taken += window.take_frames
    assert taken == frames_in(samples)


@given(WINDOWINGS, ARRIVALS)
def test_the_plan_does_not_depend_on_how_the_audio_arrives(windowing, arrivals):
    assert planned(windowing, arrivals) == planned(windowing, [sum(arrivals)])


@given(WINDOWINGS, ARRIVALS)
def test_a_step_waits_for_its_right_context_and_for_no_more(windowing, arrivals):
    live = LiveTranscript(windowing)
    samples = sum(arrivals)
    window = live.next_window(samples)
    needed = (windowing.first_frames + windowing.right_frames) * SAMPLES_PER_FRAME
    assert (window is not None) == (samples >= needed)
    assert window is None or window.stop == needed


def test_a_first_delta_is_in_time_for_whoever_speaks_at_once():
    windowing = default()
    assert windowing.first_frames * FRAME_SECONDS < windowing.chunk_s + 1


def test_with_catching_up_one_step_takes_many_chunks_in_a_row_but_not_without():
    windowing = Windowing(0.8, 0.8, 0.8)
    minute = 60 * 16_000
    assert len(planned(windowing, [minute])) > 70
    caught_up = planned(windowing, [minute], catch_up_s=8)
    assert len(caught_up) <= 9
    assert max(window.take_frames for window in caught_up) == 100
    paced = [1600] * 600
    assert planned(windowing, paced, catch_up_s=8) == planned(windowing, paced)


def test_there_is_no_window_while_a_step_is_in_flight_and_a_cancelled_one_comes_again():
    live = LiveTranscript(default())
    window = live.next_window(100_000)
    assert live.next_window(100_000) == window, "asking changes nothing"
    live.begin_step(window, np.zeros(window.stop, np.float32))
    assert live.next_window(100_000) is None
    live.cancel_step()
    assert live.next_window(100_000) == window


BYTES = ["<0xE2>", "<0x82>", "<0xAC>", "<0x20>"]


PIECES = st.sampled_from(["\u2581", "\u2581the", "s", ".", ",", "\u2581?", "\u2581-", "_", "<unk>", "\u00fc", *BYTES])


@given(st.lists(st.lists(PIECES, max_size=4), max_size=8))
def test_deltas_only_add_and_make_up_the_text(parts):
    live = LiveTranscript(default())
    tokens, text = [], ""
    for at, pieces in enumerate(parts):
        window = live.next_window(10**7)
        live.begin_step(window, np.zeros(1, np.float32))
        heard = tuple(Token(0, piece, at, at, 0.0) for piece in pieces)
        tokens += heard
        text += live.finish_step(StepResult(heard, None))
        assert live.text == text
        assert text_of(tokens).startswith(text)
    text += live.finish()
    assert (live.text, live.tokens) == (text, tuple(tokens))
    assert text == text_of(tokens)


@pytest.mark.parametrize(
    ("parts", "deltas"),
    [
        ([["\u2581one", "\u2581"], [","], ["\u2581two"]], ["one", ",", " two", ""]),
        ([["\u2581", "<0xE2>"], ["<0x82>"], ["<0xAC>"]], ["", "", "\u20ac", ""]),
        ([["\u2581a", "<0xE2>"], ["\u2581b"]], ["a", "\ufffd b", ""]),
        ([["\u2581a", "<0xE2>"]], ["a", "\ufffd"]),
    ],
)
def test_what_may_still_change_is_held_back_until_it_cannot(parts, deltas):
    live = LiveTranscript(default())
    given_out = []
    for pieces in parts:
        live.begin_step(live.next_window(10**7), np.zeros(1, np.float32))
        given_out.append(live.finish_step(StepResult(tuple(Token(0, piece, 0, 0, 0.0) for piece in pieces), None)))
    assert [*given_out, live.finish()] == deltas
