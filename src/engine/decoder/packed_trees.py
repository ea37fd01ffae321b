"""The boosting trees of a batch, packed into one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from src.engine.decoder.boosting_tree import BoostingTree

if TYPE_CHECKING:
    import torch

NO_TREE = -1
"""What NeMo's computers take for a clip without hot words."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedTrees:
    """The hot words of a batch, in one piece that is quick to bring to the model's device."""

    numbers: tuple[int, ...]
    """The number of each clip's tree, `NO_TREE` for one without."""
    trees: int
    states: int
    """Of all trees together."""
    arcs: int
    packed: "torch.Tensor"
    """int32: the numbers, where the states of each tree begin and where its arcs do, then the arrays of `BoostingTree`,
    those of all trees one after the other; the bits of floats."""

    def unpacked(self, device: "torch.device") -> list["torch.Tensor"]:
        """Return the parts of `packed` on a device, floats as such."""
        import torch

        counts = [len(self.numbers)] + [self.trees] * 2 + [self.states] * 4 + [self.arcs] * 3
        numbers, starts_of_states, starts_of_arcs, first, end, back, lost, after, tokens, raised = torch.split(
            self.packed.to(device, non_blocking=True), counts
        )
        lost, raised = lost.view(torch.float32), raised.view(torch.float32)
        return [numbers, starts_of_states, starts_of_arcs, first, end, back, lost, after, tokens, raised]


def pack_trees(trees: Sequence[BoostingTree | None], *, pinned: bool = False) -> PackedTrees | None:
    """Return the trees of a batch's clips, each of them once, or None where no clip has one.

    `pinned` puts them into memory that a GPU can read by itself.
    """
    import torch

    numbers = {tree: number for number, tree in enumerate(dict.fromkeys(tree for tree in trees if tree))}
    if not numbers:
        return None
    several = list(numbers)
    states, arcs = ([tree.states for tree in several], [tree.arcs for tree in several])
    chosen = tuple(NO_TREE if tree is None else numbers[tree] for tree in trees)
    parts = [np.array(chosen, np.int32), _starts(states), _starts(arcs)]
    for name in ("first_arcs", "end_arcs", "backoff_states", "backoff_weights", "next_states", "tokens", "weights"):
        parts += [getattr(tree, name).view(np.int32) for tree in several]
    packed = torch.empty(sum(map(len, parts)), dtype=torch.int32, pin_memory=pinned)
    np.concatenate(parts, out=packed.numpy())
    return PackedTrees(chosen, len(several), sum(states), sum(arcs), packed)


def _starts(sizes: Sequence[int]) -> "np.ndarray[Any, np.dtype[np.int32]]":
    return (np.cumsum(sizes) - sizes).astype(np.int32)
