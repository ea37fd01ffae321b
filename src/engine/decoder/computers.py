"""The label-looping computers of a network: one for small batches and one for batches of any size.

With CUDA graphs, a computer always works on as many rows as its largest batch had: one clip costs as much as 64. A
second computer for small batches avoids that, at the price of its graph's memory and a few rows. Both use the same
weights.

A computer with CUDA graphs also keeps the prediction network's output for each token it chooses. Token scores need
these outputs (see `scoring.py`). To compute them again takes another pass over all tokens, and the host would have to
wait for the number of tokens first.
"""

from typing import TYPE_CHECKING, Any

from src.engine import toolchain
from src.engine.decoder.cuda_graphs import GraphMode, set_up_graphs
from src.engine.decoder.label_looping import LabelLoopingComputer

if TYPE_CHECKING:
    import torch

FRAMES_PER_TOKEN = 2
"""Room for kept outputs: one token per this many frames, 6.25 a second. Speech has 3.5 (0.6B, English)."""
EXTRA_TOKENS = 8
"""Room for this many more tokens: within the second of a live step, speech may be twice as fast as on average."""


class Computers:
    """The computers of a network, all with room for keywords or all without; they share one table of boosting trees.

    Args:
        network: the checkpoint; it keeps the computer for batches of any size as its own.
        graphs: how CUDA graphs are used.
        small_batch: the largest batch of the computer for small batches; 0 for no such computer.
        with_keywords: whether the computers can boost keywords (NeMo's `enable_per_stream_biasing`).
    """

    def __init__(self, network: Any, graphs: GraphMode, *, small_batch: int, with_keywords: bool) -> None:
        self._small_batch = small_batch
        computers = [_new_computer(network, graphs, with_keywords) for _ in range(2 if small_batch else 1)]
        self.large = computers[-1]
        """The computer for batches of any size."""
        self.table: Any = self.large.biasing_multi_model
        """The `GPUBiasingMultiModel` of both computers, None without keywords."""
        self._small = computers[0]
        if small_batch and with_keywords:
            self._small.biasing_multi_model = self.table
            self.table.reallocation_callbacks.append(self._small.reset_cuda_graphs_state)

    def for_batch(self, clips: int) -> LabelLoopingComputer:
        """Return the computer for a batch of this many clips."""
        return self._small if clips <= self._small_batch else self.large

    def disable_graphs(self) -> bool:
        """Stop using CUDA graphs and return whether they were in use.

        NeMo's Triton kernel for keywords is not used any more either, as it may be what failed; PyTorch computes the
        same.
        """
        were_used = [computer.disable_cuda_graphs() for computer in (self._small, self.large)]
        if self.table is not None:
            self.table.use_triton = False
        return any(were_used)


def missing_for_keywords(device: "torch.device") -> str | None:
    """Return what is missing for NeMo's Triton kernel for keywords on a GPU; None if nothing is, or on a CPU."""
    return toolchain.missing() if device.type == "cuda" else None


def kept_outputs(computer: LabelLoopingComputer, clips: int, tokens: int) -> "torch.Tensor | None":
    """Return the prediction network's projected output for each token of the last batch, (clips, tokens, width).

    Entries past a clip's last token are undefined. The next batch overwrites the tensor. None if the computer works
    without CUDA graphs, or has no room for so many tokens.
    """
    kept: torch.Tensor | None = getattr(computer.state, "outputs", None)
    return kept[:clips, :tokens] if kept is not None and tokens < kept.shape[1] else None


def max_kept_tokens(frames: int) -> int:
    """Return how many tokens of each clip are kept, for clips of this many frames."""
    return frames // FRAMES_PER_TOKEN + EXTRA_TOKENS


def _new_computer(network: Any, graphs: GraphMode, with_keywords: bool) -> LabelLoopingComputer:
    """Return a new computer with the checkpoint's settings; the network keeps it until the next call."""
    from omegaconf import open_dict

    cfg = network.cfg.decoding.copy()
    with open_dict(cfg):
        cfg.strategy = "greedy_batch"
        cfg.greedy.enable_per_stream_biasing = with_keywords
    network.change_decoding_strategy(cfg, verbose=False)
    computer: LabelLoopingComputer = network.decoding.decoding.decoding_computer
    set_up_graphs(computer, graphs)
    _keep_outputs(computer)
    return computer


def _keep_outputs(computer: LabelLoopingComputer) -> None:
    """Make a computer's CUDA graphs store the prediction network's outputs beside the tokens, in `state.outputs`."""
    store_labels = computer._after_inner_loop_store_labels

    def store() -> None:
        state = computer.state
        # One column more than is read: tokens beyond the limit are written there.
        if not hasattr(state, "outputs"):  # in the run before the capture
            output = state.decoder_output
            state.outputs = output.new_zeros(state.batch_size, max_kept_tokens(state.max_time) + 1, output.shape[-1])
        columns = state.batched_hyps.current_lengths.clamp(max=state.outputs.shape[1] - 1)
        state.outputs[state.batch_indices, columns] = state.decoder_output.squeeze(1)
        store_labels()

    computer._after_inner_loop_store_labels = store
