"""The boosting trees of a batch, packed into one tensor that is quick to copy to the model's device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from src.engine.decoder.boosting_tree import BoostingTree

if TYPE_CHECKING:
    import torch

NO_TREE = -1
"""NeMo's tree number of a clip without keywords."""

_FLOATS = (6, 9)
"""The places of the backoff weights and the weights among the parts of `PackedTrees.packed`."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedTrees:
    """The boosting trees of a batch, each of them once."""

    tree_ids: tuple[int, ...]
    """The number of each clip's tree, `NO_TREE` for a clip without keywords."""
    tree_count: int
    state_count: int
    """The number of states in all trees."""
    arc_count: int
    """The number of arcs in all trees."""
    packed: "torch.Tensor"
    """int32: `tree_ids`, the number of each tree's first state, that of its first arc, then the arrays of
    `BoostingTree`, those of all trees one after the other; floats as their bits."""

    def unpack(self, device: "torch.device") -> list["torch.Tensor"]:
        """Return the parts of `packed` on a device, in its order, floats as float32."""
        import torch

        sizes = [len(self.tree_ids)] + [self.tree_count] * 2 + [self.state_count] * 4 + [self.arc_count] * 3
        parts = torch.split(self.packed.to(device, non_blocking=True), sizes)
        return [part.view(torch.float32) if place in _FLOATS else part for place, part in enumerate(parts)]


def pack_trees(trees: Sequence[BoostingTree | None], *, pinned: bool = False) -> PackedTrees | None:
    """Return the trees of a batch's clips, None for a clip without keywords; None if no clip has a tree.

    `pinned` allocates memory that a GPU can read without the host's help.
    """
    import torch

    numbers = {tree: number for number, tree in enumerate(dict.fromkeys(tree for tree in trees if tree))}
    if not numbers:
        return None
    unique = list(numbers)
    states, arcs = [tree.state_count for tree in unique], [tree.arc_count for tree in unique]
    tree_ids = tuple(NO_TREE if tree is None else numbers[tree] for tree in trees)
    parts = [np.array(tree_ids, np.int32), _offsets(states), _offsets(arcs)]
    for name in ("first_arcs", "end_arcs", "backoff_states", "backoff_weights", "next_states", "tokens", "weights"):
        parts += [getattr(tree, name).view(np.int32) for tree in unique]
    packed = torch.empty(sum(map(len, parts)), dtype=torch.int32, pin_memory=pinned)
    np.concatenate(parts, out=packed.numpy())
    return PackedTrees(tree_ids, len(unique), sum(states), sum(arcs), packed)


def _offsets(sizes: Sequence[int]) -> NDArray[np.int32]:
    """Return where each part begins if parts of these sizes follow each other."""
    return (np.cumsum(sizes) - sizes).astype(np.int32)
