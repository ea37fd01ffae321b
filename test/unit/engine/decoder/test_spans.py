"""Which frames of its window a step decodes, and in which search."""

import numpy as np
import pytest

from src.engine.decoder.spans import FrameSpan, spans_after, spans_at_once
from src.engine.frames import SAMPLES_PER_FRAME
from src.engine.model import StreamStep


def step(frames: int, skip: int, take: int, **asks: bool) -> StreamStep:
    return StreamStep(np.zeros(frames * SAMPLES_PER_FRAME, np.float32), skip, take, skip, **asks)


def test_a_step_that_asks_for_nothing_is_its_chunk_alone():
    steps = [step(40, 10, 12), step(20, 0, 18)]
    assert spans_at_once(steps) == [FrameSpan(0, 10, 12), FrameSpan(1, 0, 18)]
    assert spans_after(steps) == []


def test_a_lookahead_is_decoded_after_the_chunk_to_the_end_of_the_window():
    steps = [step(40, 10, 12, lookahead=True), step(20, 0, 18)]
    assert spans_at_once(steps) == [FrameSpan(0, 10, 12), FrameSpan(1, 0, 18)]
    assert spans_after(steps) == [FrameSpan(0, 22, 18, is_lookahead=True)]


def test_without_a_chunk_a_lookahead_is_decoded_at_once():
    steps = [step(20, 0, 18), step(40, 10, 0, lookahead=True)]
    assert spans_at_once(steps) == [FrameSpan(0, 0, 18), FrameSpan(1, 10, 30, is_lookahead=True)]
    assert spans_after(steps) == []


@pytest.mark.parametrize(("take", "spans"), [(30, [FrameSpan(0, 10, 20)]), (20, [FrameSpan(0, 10, 20)])])
def test_a_chunk_ends_with_the_window_and_then_there_is_nothing_ahead(take, spans):
    last = [step(30, 10, take, lookahead=True)]
    assert spans_at_once(last) == spans
    assert spans_after(last) == []


def test_a_window_too_short_for_a_frame_has_no_spans():
    short = [StreamStep(np.zeros(100, np.float32), 0, 1, 0, lookahead=True)]
    assert (spans_at_once(short), spans_after(short)) == ([], [])
