"""Hot words: the phrases of a request, compiled to trees that raise their tokens' scores while a clip is decoded.

Compiling takes some milliseconds, and is done in whichever thread asks, not in the model's. What is compiled stays so
for the next request with the same phrases, the lists used last longest. A batch carries the trees of its clips itself,
so that nothing which others ask for meanwhile can take them away; the model's thread only copies them, in one piece,
into the table of NeMo's per-stream biasing, from which each clip picks its own or none. NeMo lets a hot word take the
place of another token only, never of silence, so a clip in which nothing is heard stays empty.
"""

from typing import TYPE_CHECKING, Any

from src.engine.decoder.packed_trees import PackedTrees

if TYPE_CHECKING:
    import torch


class BiasingTable:
    """The `GPUBiasingMultiModel` of one computer, which holds the trees of one batch at a time.

    Only the model's own thread uses it. `alpha` is how much hot words are raised.
    """

    def __init__(self, table: Any, alpha: float) -> None:
        self._table = table
        self._alpha = alpha
        table.model2alpha.fill_(alpha)

    def take(self, keyword_trees: PackedTrees) -> "torch.Tensor":
        """Put a batch's trees into the table, in place of those there; return the number of each clip's tree, int64.

        The tensors of the table stay where they are, as CUDA graphs read them there, but where there are more or larger
        trees than ever before; then the computer captures its graph anew.
        """
        import torch

        table = self._table
        device = table.all_ilabels.device
        # The table outlives the batch: its tensors must not be such as inference makes.
        with torch.inference_mode(False), torch.no_grad():
            self._make_room(keyword_trees)
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
            numbers, *parts = keyword_trees.unpacked(device)
            for target, part in zip(targets, parts, strict=True):
                target[: len(part)].copy_(part)
            return numbers.long()

    def _make_room(self, keyword_trees: PackedTrees) -> None:
        table = self._table
        is_moved = True  # also where there is no memory for all of it
        try:
            # NeMo's code for devices without Triton also reads as many arcs as there are tokens behind those of a tree.
            is_moved = table._maybe_extend_arcs_and_states(keyword_trees.states, keyword_trees.arcs + table.vocab_size)
            while keyword_trees.trees > table.num_models_reserved:
                is_moved = True
                table._extend_num_models()
                table.model2alpha.fill_(self._alpha)
        finally:
            if is_moved:
                for tell in table.reallocation_callbacks:
                    tell()
