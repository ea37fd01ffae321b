"""Boosting trees of one or two keywords, array by array; test/model compares trees with NeMo's."""

import numpy as np
import pytest

from src.engine.decoder.boosting_tree import DEPTH_SCALING, FIRST_WEIGHT, build_tree


def test_a_keyword_is_a_path_whose_tokens_are_boosted_more_and_more():
    tree = build_tree([[2, 0, 1]], 3)
    assert (tree.state_count, tree.arc_count) == (4, 5)
    assert tree.tokens.tolist() == [0, 1, 2, 0, 1], "an arc for each token from the first state, then the path"
    assert tree.next_states.tolist() == [0, 0, 1, 2, 3]
    later = [FIRST_WEIGHT * DEPTH_SCALING + np.log(depth) for depth in (2, 3)]
    assert tree.weights.tolist() == pytest.approx([0, 0, FIRST_WEIGHT, *later])
    assert list(zip(tree.first_arcs, tree.end_arcs, strict=True)) == [(0, 3), (3, 4), (4, 5), (0, 0)]


def test_backing_off_takes_back_what_is_left_behind_but_nothing_at_the_end_of_a_keyword():
    tree = build_tree([[2, 0, 1]], 3)
    assert tree.backoff_states.tolist() == [0, 0, 0, 0]
    assert tree.backoff_weights.tolist() == pytest.approx([0, -1, -1 - 2 - np.log(2), 0])


def test_a_state_backs_off_to_the_longest_prefix_that_is_its_suffix():
    tree = build_tree([[0, 1, 0, 2], [1, 0]], 3)
    # States by depth: (0), (1); (0 1), (1 0); (0 1 0); (0 1 0 2).
    assert tree.backoff_states.tolist() == [0, 0, 0, 2, 1, 4, 0]
