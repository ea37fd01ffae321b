"""NeMo's table of boosting trees for per-stream biasing, filled with the trees of one batch at a time.

NeMo boosts a token only in place of another token, never in place of blank, so a clip without speech stays empty.
"""

from typing import TYPE_CHECKING, Any

from src.engine.decoder.packed_trees import PackedTrees

if TYPE_CHECKING:
    import torch


class BiasingTable:
    """A `GPUBiasingMultiModel`, from which each clip uses one tree or none. Only the model's own thread uses it.

    Args:
        table: NeMo's.
        alpha: how much keywords are boosted.
    """

    def __init__(self, table: Any, alpha: float) -> None:
        self._table = table
        self._alpha = alpha
        table.model2alpha.fill_(alpha)

    def load(self, trees: PackedTrees) -> "torch.Tensor":
        """Replace the table's trees by those of a batch; return the number of each clip's tree, (clips,) int64.

        CUDA graphs read the table's tensors at fixed addresses. The tensors move only if the batch has more or larger
        trees than any before; then the computers capture new graphs.
        """
        import torch

        table = self._table
        device = table.all_ilabels.device
        # The table outlives the batch, so its tensors must not be inference tensors.
        with torch.inference_mode(False), torch.no_grad():
            self._make_room(trees)
            targets = [
                table.model2states_offset,
                table.model2arcs_offset,
                table.all_start_end_arcs[:, 0],
                table.all_start_end_arcs[:, 1],
                table.all_backoff_to_states,
                table.all_backoff_weights,
                table.all_to_states,
                table.all_ilabels,
                table.all_arcs_weights,
            ]
            tree_ids, *parts = trees.unpack(device)
            for target, part in zip(targets, parts, strict=True):
                target[: len(part)].copy_(part)
            return tree_ids.long()

    def _make_room(self, trees: PackedTrees) -> None:
        """Enlarge the table's tensors if necessary, and notify those who hold their addresses if they moved."""
        table = self._table
        has_moved = True  # also if memory runs out halfway
        try:
            # Without Triton, NeMo also reads one arc for each token of the vocabulary past the end of a tree.
            has_moved = table._maybe_extend_arcs_and_states(trees.state_count, trees.arc_count + table.vocab_size)
            while trees.tree_count > table.num_models_reserved:
                has_moved = True
                table._extend_num_models()
                table.model2alpha.fill_(self._alpha)
        finally:
            if has_moved:
                for notify in table.reallocation_callbacks:
                    notify()
