"""NeMo's label-looping computer, as far as the engine uses it.

The computer is NeMo's batched greedy search over a transducer (https://arxiv.org/abs/2406.06220). NeMo has one class
for TDT and one for RNN-T. `nemo_contract.py` checks that both have what is declared here.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class BatchedHyps(Protocol):
    """The tokens that a computer has found in a batch."""

    current_lengths: "torch.Tensor"
    """The number of tokens of each clip, (clips,) int64."""
    transcript: "torch.Tensor"
    """Their ids, (clips, tokens) int64; entries past a clip's last token are undefined."""
    timestamps: "torch.Tensor"
    """The first frame of each, (clips, tokens) int64; entries past a clip's last token are undefined."""


class BatchedState(Protocol):
    """The decoder state of a batch of utterances between two streaming steps."""

    predictor_states: "Sequence[torch.Tensor]"
    """The state of the prediction network, (layers, clips, width) each."""
    predictor_outputs: "torch.Tensor"
    """The projected output of the prediction network for each clip's last token, (clips, 1, width)."""
    labels: "torch.Tensor"
    """Each clip's last token, (clips,) int64."""
    decoded_lengths: "torch.Tensor"
    """The number of frames that are decoded, (clips,) int64."""
    time_jumps: "torch.Tensor | None"
    """How many frames each clip's last token reaches beyond those, (clips,) int64; None for an RNN-T."""
    fusion_states_list: "list[torch.Tensor]"
    """Each clip's place, (clips,) int64, in each language model and boosting tree that the checkpoint's settings name,
    and at last in the tree of its keywords, if the computer has room for keywords."""


class LabelLoopingComputer(Protocol):
    """The batched greedy search of one network."""

    biasing_multi_model: Any
    """The `GPUBiasingMultiModel` that holds boosting trees, None without keywords."""
    cuda_graphs_mode: Any
    """`full_graph`, `no_while_loops` or `no_graphs`, as NeMo's enumeration; None without CUDA graphs."""
    cuda_graphs_allow_fallback: bool
    """Whether NeMo falls back to `no_while_loops` by itself."""
    state: Any
    """The memory of the CUDA graphs, a `LabelLoopingState`; None if there are none."""
    graph_memory: Any
    """The engine's own: the memory pool of the graphs' loops (see `cuda_graphs.py`)."""
    _graph_reinitialize: Callable[["torch.Tensor"], None]
    """Captures new graphs for batches of the shape of its argument, (clips, frames, width)."""
    _after_inner_loop_store_labels: Callable[[], None]
    """Stores the token that each clip has just found; a part of the captured work."""

    def __call__(
        self,
        x: "torch.Tensor",
        out_len: "torch.Tensor",
        prev_batched_state: BatchedState | None = None,
        multi_biasing_ids: "torch.Tensor | None" = None,
    ) -> tuple[BatchedHyps, BatchedState]:
        """Decode a batch; return the tokens and the state after them.

        Args:
            x: the encoder's frames, (clips, frames, width).
            out_len: the number of frames of each clip, (clips,) int64.
            prev_batched_state: the state to continue from.
            multi_biasing_ids: the number of each clip's boosting tree, (clips,) int64; -1 for none.
        """

    def _get_batched_decoding_state_after_sos(self, device: "torch.device", batch_size: int) -> BatchedState:
        """Return the state of so many clips before their first tokens."""

    def disable_cuda_graphs(self) -> bool:
        """Stop using CUDA graphs and return whether they were in use."""

    def force_cuda_graphs_mode(self, mode: str | None) -> None:
        """Set `cuda_graphs_mode` and drop the captured graphs' `state`."""

    def reset_cuda_graphs_state(self) -> None:
        """Drop the captured graphs and their `state`; the next batch captures new ones."""
