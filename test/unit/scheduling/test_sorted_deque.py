"""A sorted sequence (src.scheduling.sorted_deque)."""

from hypothesis import given
from hypothesis import strategies as st

from src.scheduling.sorted_deque import SortedDeque


def test_without_entries_there_is_no_first():
    assert SortedDeque().first is None
    assert len(SortedDeque()) == 0


def test_of_equal_keys_the_lower_number_comes_first():
    items = SortedDeque()
    for number in (2, 0, 1):
        items.add((1.0, number, f"item {number}"))
    assert [item for _, _, item in items.entries] == ["item 0", "item 1", "item 2"]


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.booleans())), st.randoms(use_true_random=False))
def test_it_is_sorted_whatever_comes_and_leaves(steps, random):
    items, expected = SortedDeque(), []
    for number, (key, is_removal) in enumerate(steps):
        if is_removal and expected:
            leaving = random.choice(expected)
            expected.remove(leaving)
            items.remove(leaving)
        else:
            expected.append((key, number, object()))
            items.add(expected[-1])
        expected.sort(key=lambda entry: entry[:2])
        assert list(items.entries) == expected
        assert items.first == (expected[0] if expected else None)
        assert len(items) == len(expected)
