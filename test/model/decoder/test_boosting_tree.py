"""Boosting trees: the arrays of NeMo's own trees, and a bound on backing off."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from nemo_trees import nemo_table, nemo_tree, spelled_keywords

from src.engine.decoder.biasing import BiasingTable
from src.engine.decoder.boosting_tree import DEPTH_SCALING, MAX_BACKOFFS, build_tree
from src.engine.decoder.packed_trees import pack_trees

SPELLED = [
    ([[3]], 4),
    ([[0, 0, 0, 0, 0], [0, 0], [0]], 1),
    ([[1, 2, 3], [1, 2, 3], [2, 3], [3, 1, 2], [1, 2, 4, 1, 2]], 5),
    ([[0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 0, 1], [0, 0, 1, 0]], 3),
]
"""Single tokens, suffixes that are prefixes, duplicates."""


@given(spelled_keywords())
@settings(deadline=None, max_examples=100)
@example(SPELLED[0])
@example(SPELLED[1])
@example(SPELLED[2])
@example(SPELLED[3])
def test_a_tree_is_that_of_nemo(tiny, drawn):
    spellings, vocabulary = drawn
    ours, theirs = build_tree(spellings, vocabulary), nemo_tree(sorted(spellings), vocabulary)
    states, arcs = theirs.num_states, theirs.num_arcs
    assert (ours.state_count, ours.arc_count) == (states, arcs)
    pairs = [
        (np.stack((ours.first_arcs, ours.end_arcs), 1), theirs.start_end_arcs[:states]),
        (ours.backoff_states, theirs.backoff_to_states[:states]),
        (ours.backoff_weights, theirs.backoff_weights[:states].detach()),
        (ours.next_states, theirs.to_states[:arcs]),
        (ours.tokens, theirs.ilabels[:arcs]),
        (ours.weights, theirs.arcs_weights[:arcs].detach()),
    ]
    for mine, other in pairs:
        np.testing.assert_array_equal(mine, other.numpy())


def test_no_keyword_makes_the_choice_of_a_token_long(tiny):
    tree = build_tree([[7] * 100, *([7] * count + [count] for count in range(8, 100))], 256)
    states, steps = tree.backoff_states, 1
    while states.any():
        states, steps = tree.backoff_states[states], steps + 1
    assert steps <= MAX_BACKOFFS + 1
    table = nemo_table(256)
    numbers = BiasingTable(table, alpha=1.0).load(pack_trees([tree]))
    state, raised = torch.zeros(1, dtype=torch.int64), []
    for _ in range(100):
        scores, nexts = table.advance(state, numbers)
        raised.append(scores[0, 7].item())
        state = nexts[:, 7]
    assert raised == pytest.approx([1.0, *(DEPTH_SCALING + np.log(np.arange(2, 101)))], rel=1e-5)
