"""The buffer of decoded audio: what goes in comes out, and memory is given back."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from session_harness import RATE, silence, speech

from src.realtime.buffer import AudioBuffer

PIECES = st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from(["append", "take", "drop"])), max_size=40)


@given(PIECES)
def test_a_buffer_returns_what_was_appended(pieces):
    buffer = AudioBuffer()
    everything = np.zeros(0, np.float32)
    start = 0
    for size, what in pieces:
        if what == "append":
            more = np.arange(len(everything), len(everything) + 7 * size, dtype=np.float32)
            everything = np.concatenate([everything, more])
            buffer.append(more)
        elif what == "take":
            taken = buffer.take_until(start + size)
            assert np.array_equal(taken, everything[start : start + size])
            start = min(start + size, len(everything))
        else:
            buffer.drop_until(start + size)
            start = min(start + size, len(everything))
        assert (buffer.start, buffer.end, len(buffer)) == (start, len(everything), len(everything) - start)
        assert np.array_equal(buffer.copy(start, len(everything)), everything[start:])


def test_a_taken_copy_is_not_changed_by_later_samples():
    buffer = AudioBuffer()
    buffer.append(speech(1.0))
    taken = buffer.take_until(RATE)
    buffer.append(silence(5.0))
    assert np.array_equal(taken, speech(1.0))


def test_a_view_is_not_changed_by_what_is_appended_or_dropped_later():
    buffer = AudioBuffer()
    for _ in range(20):
        buffer.append(speech(0.5))
        view, expected = buffer.view(buffer.end - RATE // 4, buffer.end), speech(0.25)
        buffer.drop_until(buffer.end)
        buffer.append(silence(0.7))
        assert np.array_equal(view, expected)


def test_the_memory_of_a_long_item_is_not_kept():
    buffer = AudioBuffer()
    tracemalloc.start()
    try:
        for _ in range(60):
            buffer.append(speech(1.0))
        assert tracemalloc.get_traced_memory()[0] > 60 * RATE * 4
        buffer.drop_until(59 * RATE)
        assert tracemalloc.get_traced_memory()[0] < 4 * RATE * 4
    finally:
        tracemalloc.stop()
    assert np.array_equal(buffer.take_until(60 * RATE), speech(1.0))


def test_samples_before_the_start_cannot_be_taken_again():
    buffer = AudioBuffer()
    buffer.append(speech(1.0))
    buffer.drop_until(RATE // 2)
    assert len(buffer.take_until(100)) == 0
    assert buffer.start == RATE // 2
    buffer.drop_until(10 * RATE)
    assert (buffer.start, buffer.end) == (RATE, RATE)
