"""The trees of a batch in one tensor, and back again."""

import numpy as np
import torch

from src.engine.decoder.boosting_tree import build_tree
from src.engine.decoder.packed_trees import NO_TREE, pack_trees

ONE, OTHER = build_tree([[1, 2], [3]], 5), build_tree([[4, 4, 4]], 5)


def test_a_batch_without_trees_packs_nothing():
    assert pack_trees([None, None]) is None


def test_each_tree_is_packed_once_and_each_clip_has_the_number_of_its_own():
    packed = pack_trees([OTHER, None, ONE, OTHER])
    assert packed.tree_ids == (0, NO_TREE, 1, 0)
    assert packed.tree_count == 2
    assert (packed.state_count, packed.arc_count) == (
        ONE.state_count + OTHER.state_count,
        ONE.arc_count + OTHER.arc_count,
    )


def test_the_parts_are_those_of_the_trees_one_after_the_other():
    tree_ids, state_offsets, arc_offsets, *arrays = pack_trees([ONE, OTHER, None]).unpack(torch.device("cpu"))
    assert tree_ids.tolist() == [0, 1, NO_TREE]
    assert (state_offsets.tolist(), arc_offsets.tolist()) == ([0, ONE.state_count], [0, ONE.arc_count])
    names = ["first_arcs", "end_arcs", "backoff_states", "backoff_weights", "next_states", "tokens", "weights"]
    for name, array in zip(names, arrays, strict=True):
        expected = np.concatenate((getattr(ONE, name), getattr(OTHER, name)))
        assert array.numpy().dtype == expected.dtype
        np.testing.assert_array_equal(array.numpy(), expected)
