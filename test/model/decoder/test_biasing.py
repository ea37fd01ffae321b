"""NeMo's table of boosting trees: its scores with packed trees, and its growth."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nemo_trees import nemo_table, nemo_tree, spelled_keywords

from src.engine.decoder.biasing import BiasingTable
from src.engine.decoder.boosting_tree import build_tree
from src.engine.decoder.packed_trees import NO_TREE, pack_trees


@given(st.lists(st.one_of(st.none(), spelled_keywords()), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_the_table_gives_every_token_in_every_state_the_score_that_nemo_gives(tiny, lists):
    vocabulary = 5
    table = nemo_table(vocabulary)
    biasing = BiasingTable(table, alpha=1.5)
    biasing.load(pack_trees([build_tree([[4, 3, 2, 1]] * 30, vocabulary)]))  # something else was there before
    keyword_trees = pack_trees([build_tree(each[0], vocabulary) if each else None for each in lists])
    for number, each in zip(keyword_trees.tree_ids if keyword_trees else (), lists, strict=False):
        if each is None:
            assert number == NO_TREE
            continue
        biasing.load(keyword_trees)
        theirs = nemo_tree(sorted(each[0]), vocabulary)
        states = torch.arange(theirs.num_states)
        scores, nexts = table.advance(states, torch.full_like(states, number))
        expected_scores, expected_nexts = theirs.advance(states)
        assert torch.equal(nexts, expected_nexts)
        torch.testing.assert_close(scores, expected_scores * 1.5)


def test_the_table_grows_for_a_batch_that_needs_it_and_notifies_those_who_hold_its_addresses(tiny):
    table = nemo_table(256)
    notified = []
    table.reallocation_callbacks.append(lambda: notified.append(True))
    biasing = BiasingTable(table, alpha=1.0)
    few = pack_trees([build_tree([[1, 2, 3]], 256)])
    biasing.load(few)
    assert not notified
    trees = [build_tree([[token, 7]], 256) for token in range(table.num_models_reserved + 1)]
    with torch.inference_mode():
        numbers = biasing.load(pack_trees(trees))
    assert len(notified) == 1
    scores, _ = table.advance(torch.zeros(len(trees), dtype=torch.int64), numbers)
    assert torch.equal(scores.argmax(1), torch.arange(len(trees)))
    assert scores.max(1).values.tolist() == [1.0] * len(trees)
    wide = np.random.default_rng(0).integers(0, 256, (20_000, 60)).tolist()
    biasing.load(pack_trees([build_tree(wide, 256)]))
    assert len(notified) == 2
    scores, _ = table.advance(torch.zeros(1, dtype=torch.int64), biasing.load(few))
    assert scores.argmax(1).tolist() == [1]
    assert len(notified) == 2


def test_those_who_hold_its_addresses_are_notified_also_when_memory_runs_out(tiny, monkeypatch):
    table = nemo_table(256)
    notified = []
    table.reallocation_callbacks.append(lambda: notified.append(table.all_to_states))
    extend, moved = table._extend_buffer_or_param, []

    def failing(tensor, add_len):
        if moved:
            raise torch.OutOfMemoryError("no memory")
        moved.append(tensor)
        extend(tensor, add_len)

    monkeypatch.setattr(table, "_extend_buffer_or_param", failing)
    wide = np.random.default_rng(0).integers(0, 256, (20_000, 60)).tolist()
    with pytest.raises(torch.OutOfMemoryError):
        BiasingTable(table, alpha=1.0).load(pack_trees([build_tree(wide, 256)]))
    assert len(notified) == 1
