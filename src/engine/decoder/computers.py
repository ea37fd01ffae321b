"""NeMo's label-looping computers of a checkpoint, one for few clips and one for any number, which share its weights.

With CUDA graphs a computer works on as many rows as the largest batch had that it was captured for, so that one clip
costs what 64 do. A computer of its own for few clips costs the memory of its graph and of so many rows.

And one that works by graphs is made to keep what the prediction network said when each token was chosen. That is known
then, and else costs another pass of the network over all tokens, whose number the host would have to wait for.
"""

from typing import TYPE_CHECKING, Any

from src.engine import toolchain
from src.engine.decoder.cuda_graphs import Mode, set_up_graphs

if TYPE_CHECKING:
    import torch

FRAMES_PER_TOKEN = 2
"""A token is kept for each so many frames, on average over a clip: 6.25 in a second. Speech has 3.5 (0.6B, English)."""
EXTRA_TOKENS = 8
"""So many are kept besides: within the second of a live step, speech may be twice as fast as on average."""


class Computers:
    """The computers of a network, all with hot words or all without; those share one table of trees.

    Args:
        network: the checkpoint, which keeps the computer for any number of clips as its own.
        graphs: how CUDA graphs are used.
        few: clips that the computer for few takes; 0 where there shall be none.
        enable_per_stream_biasing: whether they have room for hot words.
    """

    def __init__(self, network: Any, graphs: Mode, *, small_batch: int, enable_per_stream_biasing: bool) -> None:
        self._few = small_batch
        made = [_computer(network, graphs, enable_per_stream_biasing) for _ in range(2 if small_batch else 1)]
        self.large = made[-1]
        """The computer for any number of clips."""
        self.table: Any = self.large.biasing_multi_model
        """The `GPUBiasingMultiModel` of all, None without hot words."""
        self._for_few = made[0]
        if small_batch and enable_per_stream_biasing:
            self._for_few.biasing_multi_model = self.table
            self.table.reallocation_callbacks.append(self._for_few.reset_cuda_graphs_state)

    def for_batch(self, clips: int) -> Any:
        """Return the computer for so many clips."""
        return self._for_few if clips <= self._few else self.large

    def disable_graphs(self) -> bool:
        """Do without CUDA graphs from now on; return whether they were in use.

        Nor is NeMo's Triton kernel for hot words used, as it may be what does not run; PyTorch then does the same.
        """
        were_used = [computer.disable_cuda_graphs() for computer in (self._for_few, self.large)]
        if self.table is not None:
            self.table.use_triton = False
        return any(were_used)


def missing_for_keywords(device: "torch.device") -> str | None:
    """Return what a GPU's computers with hot words lack, None where nothing: NeMo has a Triton kernel for them."""
    return toolchain.missing() if device.type == "cuda" else None


def kept_outputs(computer: Any, clips: int, tokens: int) -> "torch.Tensor | None":
    """Return what the prediction network said, projected, when each token of the last batch was chosen.

    (clips, tokens, width); behind a clip's last token it is any number. None where it was not kept, as the computer
    works without graphs, or not for so many tokens. The next batch overwrites it.
    """
    kept: torch.Tensor | None = getattr(computer.state, "outputs", None)
    return kept[:clips, :tokens] if kept is not None and tokens < kept.shape[1] else None


def max_kept_tokens(frames: int) -> int:
    """Return how many tokens of each clip are kept, for clips of so many frames."""
    return frames // FRAMES_PER_TOKEN + EXTRA_TOKENS


def _computer(network: Any, graphs: Mode, enable_per_stream_biasing: bool) -> Any:
    """Return a new computer of the checkpoint's settings."""
    from omegaconf import open_dict

    cfg = network.cfg.decoding.copy()
    with open_dict(cfg):
        cfg.strategy = "greedy_batch"
        cfg.greedy.enable_per_stream_biasing = enable_per_stream_biasing
    network.change_decoding_strategy(cfg, verbose=False)
    computer = network.decoding.decoding.decoding_computer
    set_up_graphs(computer, graphs)
    _keep_outputs(computer)
    return computer


def _keep_outputs(computer: Any) -> None:
    """Have a computer keep the prediction network's outputs beside the tokens, in the work that its graphs capture."""
    store_labels = computer._after_inner_loop_store_labels

    def store() -> None:
        state = computer.state
        # One place more than is read: whatever comes behind is written there.
        if not hasattr(state, "outputs"):  # as in the run before the capture
            said = state.decoder_output
            state.outputs = said.new_zeros(state.batch_size, max_kept_tokens(state.max_time) + 1, said.shape[-1])
        places = state.batched_hyps.current_lengths.clamp(max=state.outputs.shape[1] - 1)
        state.outputs[state.batch_indices, places] = state.decoder_output.squeeze(1)
        store_labels()

    computer._after_inner_loop_store_labels = store
