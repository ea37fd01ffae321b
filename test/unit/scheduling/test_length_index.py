"""Entries by length (src.scheduling.length_index)."""

import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from src.scheduling.length_index import LEAF_SAMPLES, LengthIndex


@dataclass(frozen=True)
class Item:
    """Something that has a length."""

    length: int


LENGTHS = st.one_of(
    st.integers(0, 40 * LEAF_SAMPLES),
    st.sampled_from([0, LEAF_SAMPLES - 1, LEAF_SAMPLES, 7 * LEAF_SAMPLES, 1000 * LEAF_SAMPLES]),
)


def test_an_empty_index_has_no_first():
    assert LengthIndex().first() is None


def test_the_first_in_order_is_found_whatever_its_length():
    index = LengthIndex()
    for key, length in ((3.0, 10), (1.0, 100_000), (2.0, 5)):
        index.add((key, 0, Item(length)))
    assert index.first() == (1.0, 0, Item(100_000))
    assert index.first(0, 99) == (2.0, 0, Item(5))
    assert index.first(6, 99) == (3.0, 0, Item(10))
    assert index.first(11, 99) is None


@budget(max_examples=50)
@given(st.lists(st.tuples(LENGTHS, st.floats(0, 10), LENGTHS, LENGTHS, st.booleans()), max_size=40))
def test_it_finds_what_a_look_at_all_finds(steps):
    index, entries = LengthIndex(), []
    for number, (length, key, shortest, longest, is_removal) in enumerate(steps):
        if is_removal and entries:
            index.remove(entries.pop(len(entries) // 2))
        else:
            entries.append((key, number, Item(length)))
            index.add(entries[-1])
        for low, high in ((0, math.inf), (shortest, longest), (shortest, math.inf)):
            expected = min(
                (each for each in entries if low <= each[2].length <= high), key=lambda each: each[:2], default=None
            )
            assert index.first(low, high) == expected
