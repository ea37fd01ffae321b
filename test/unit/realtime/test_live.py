"""Live text: how an utterance is cut into windows, which text is certain, and which is only expected."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_text import default

from src.engine.frames import FRAME_SECONDS, SAMPLES_PER_FRAME, frames_in
from src.engine.model import StepResult, StreamStep
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.realtime.window_plan import StepWindow
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


# The text. The model is played: it knows the tokens of the utterance, each at its frame.

STEPS_S = st.none() | st.sampled_from([0.08, 0.24, 0.3, 0.96, 1.92])


BYTES = ["<0xE2>", "<0x82>", "<0xAC>", "<0x20>"]


PIECES = st.sampled_from(["\u2581", "\u2581the", "s", ".", ",", "\u2581?", "\u2581-", "_", "<unk>", "\u00fc", *BYTES])


def spoken(*pieces: str, frame: int = 2, every: int = 2) -> list[Token]:
    """Return a token for each piece: the first begins at `frame`, and one begins `every` so many frames."""
    starts = [(frame + every * number) * FRAME_SECONDS for number in range(len(pieces))]
    return [Token(0, piece, start, start + FRAME_SECONDS, 0.0) for piece, start in zip(pieces, starts, strict=True)]


def heard(step: StreamStep, tokens: Sequence[Token]) -> StepResult:
    """Return what a model makes of a step if these are the tokens of the utterance."""
    end = step.start_frame + step.take_frames

    def between(first: int, last: float) -> tuple[Token, ...]:
        return tuple(token for token in tokens if first <= round(token.start_s / FRAME_SECONDS) < last)

    seen = step.start_frame - step.skip_frames + len(step.samples) / SAMPLES_PER_FRAME
    return StepResult(between(step.start_frame, end), None, between(end, seen))


def played(
    live: LiveTranscript, tokens: Sequence[Token], samples: int, steps_s: Iterator[float | None], piece: int = 1280
) -> Iterator[str]:
    """Play an utterance whose samples arrive in pieces of this size. Yield the text after each step and after the end.

    A step that fails a check of its window ends the test.
    """
    for so_far in [*range(piece, samples, piece), samples]:
        while window := live.next_window(so_far, so_far == samples, next(steps_s)):
            step = live.begin_step(window, np.zeros(window.stop - window.start, np.float32))
            live.finish_step(heard(step, tokens))
            yield live.text
    live.finish()
    yield live.text


UTTERANCES = st.lists(st.tuples(PIECES, st.integers(1, 8)), max_size=24)
"""Pieces, and how many frames each comes after the one before."""


def tokens_at(utterance: Sequence[tuple[str, int]]) -> list[Token]:
    """Return the tokens of one of `UTTERANCES`."""
    frames = itertools.accumulate(gap for _, gap in utterance)
    starts = [frame * FRAME_SECONDS for frame in frames]
    ends = [*starts, 1e9][1:]
    return [
        Token(0, piece, start, min(start + FRAME_SECONDS, end), 0.0)
        for (piece, _), start, end in zip(utterance, starts, ends, strict=True)
    ]


@given(UTTERANCES, st.lists(STEPS_S, min_size=1, max_size=5), st.sampled_from([640, 1600, 16_000]))
def test_deltas_only_add_and_make_up_the_text_whatever_the_steps(utterance, steps_s, piece):
    live = LiveTranscript(default(), catch_up_s=10)
    tokens = tokens_at(utterance)
    final = text_of(tokens)
    before = ""
    for text in played(live, tokens, 16 * 16_000, itertools.cycle(steps_s), piece):
        assert text.startswith(before)
        assert final.startswith(text)
        before = text
    assert (live.text, live.tokens) == (final, tuple(tokens))


@given(UTTERANCES, st.lists(STEPS_S, min_size=1, max_size=5))
def test_text_and_hypothesis_are_all_that_the_model_hears(utterance, steps_s):
    live = LiveTranscript(default(), catch_up_s=10)
    tokens = tokens_at(utterance)
    for so_far in range(1280, 16 * 16_000, 1280):
        while window := live.next_window(so_far, step_s=steps_s[so_far // 1280 % len(steps_s)]):
            step = live.begin_step(window, np.zeros(window.stop - window.start, np.float32))
            live.finish_step(heard(step, tokens))
            seen_s = window.stop / 16_000
            assert live.text + live.hypothesis == text_of(each for each in tokens if each.start_s < seen_s - 1e-6)
    assert live.finish() is not None
    assert live.hypothesis == ""


WORDS = st.lists(st.tuples(st.sampled_from(["\u2581for", "ty", "\u2581the", "s"]), st.integers(1, 3)), max_size=30)
"""Pieces of words without long pauses: of no more than 2 s in most cases."""


@given(WORDS, st.lists(STEPS_S, min_size=1, max_size=5))
def test_deltas_end_where_words_end(utterance, steps_s):
    live = LiveTranscript(default(), catch_up_s=10)
    tokens = tokens_at([("\u2581a", 2), *utterance])
    whole_words = text_of(tokens).split()
    for text in played(live, tokens, 10 * 16_000, itertools.cycle(steps_s)):
        assert text.split() == whole_words[: len(text.split())] or held_for_long(live)


def held_for_long(live: LiveTranscript) -> bool:
    """Whether the last word has been incomplete for longer than any is held back."""
    starts = [token.start_s for token in live.tokens if token.piece.startswith("\u2581")]
    return live.tokens[-1].start_s - starts[-1] > 1


@given(UTTERANCES)
def test_steps_of_the_fixed_grid_give_the_same_deltas_however_the_audio_arrives(utterance):
    tokens = tokens_at(utterance)
    ways = [
        [*played(LiveTranscript(default()), tokens, 16 * 16_000, itertools.repeat(None), piece)]
        for piece in (320, 1600, 30_000, 16 * 16_000)
    ]
    assert ways[0] == ways[1] == ways[2] == ways[3]


def deltas_of(tokens: Sequence[Token], seconds: float, step_s: float | None = None) -> list[str]:
    """Return the deltas of an utterance, without empty ones."""
    live, before, deltas = LiveTranscript(default()), "", []
    for text in played(live, tokens, round(seconds * 16_000), itertools.repeat(step_s)):
        deltas.append(text[len(before) :])
        before = text
    return [delta for delta in deltas if delta]


def test_a_word_is_held_back_while_the_model_expects_it_to_go_on():
    tokens = spoken("\u2581a", "\u2581for", "ty", frame=15, every=2)  # the first chunk ends within "forty"
    assert deltas_of(tokens, 6) == ["a", " forty"]


def test_a_word_is_complete_once_silence_follows():
    live = LiveTranscript(default())
    texts = [*played(live, spoken("\u2581yes"), 4 * 16_000, itertools.repeat(None))]
    assert texts[0] == "yes"


def test_marks_come_with_their_word_or_after_it():
    assert deltas_of(spoken("\u2581one", ",", "\u2581two", ".", frame=15, every=1), 6) == ["one,", " two."]
    assert deltas_of(spoken("\u2581one", ",", "\u2581two", frame=17, every=1), 6) == ["one", ", two"]


@pytest.mark.parametrize("step_s", [None, 0.24, 0.96])
def test_text_without_word_starts_is_not_held_back_for_long(step_s):
    tokens = spoken("\u2581\u4eca", *["\u65e5"] * 40, frame=2, every=3)
    live = LiveTranscript(default())
    lengths = []
    for so_far in range(1280, 10 * 16_000, 1280):
        while window := live.next_window(so_far, step_s=step_s):
            step = live.begin_step(window, np.zeros(window.stop - window.start, np.float32))
            live.finish_step(heard(step, tokens))
        lengths.append((so_far / 16_000, len(live.text)))
    assert all(3 * length * FRAME_SECONDS > at_s - 4 for at_s, length in lengths)


@pytest.mark.parametrize(
    ("pieces", "deltas"),
    [
        (["\u2581", "<0xE2>", "<0x82>", "<0xAC>"], ["\u20ac"]),
        (["\u2581a", "<0xE2>", "\u2581b"], ["a", "\ufffd b"]),
        (["\u2581a", "<0xE2>"], ["a", "\ufffd"]),
    ],
)
def test_what_may_still_change_is_held_back_until_it_cannot(pieces, deltas):
    assert deltas_of(spoken(*pieces, frame=2, every=12), 6) == deltas
