"""Choice of the search for batches without keywords: `FusedSearch` on a GPU if it supports the checkpoint.

This file loads torch; it is imported when a model is loaded.
"""

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from src.engine import toolchain
from src.engine.decoder import search_weights
from src.engine.decoder.cuda_graphs import GraphMode
from src.engine.decoder.label_looping import BatchedState
from src.engine.decoder.scoring import TokenScorer
from src.engine.device_errors import one_line

if TYPE_CHECKING:
    from src.engine.decoder.fused_search import FusedSearch

log = logging.getLogger(__name__)

CHECK_CLIPS, CHECK_FRAMES = 20, 40
"""Clips of noise, of which some are in the kernels' second tile of clips, and their frames."""
MAX_ERRORS = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""Limit on the mean difference of log-probabilities: PyTorch rounds scores of up to some 30 to the dtype."""


def select_search(network: Any, start: BatchedState, graphs: GraphMode) -> "FusedSearch | None":
    """Return the fused search for a network, None with a line in the log if it cannot be used.

    Args:
        network: the checkpoint, on its device and of its dtype.
        start: NeMo's state of one clip before its first token.
        graphs: how CUDA graphs are used; only with `full` is there a fused search.
    """
    if start.labels.device.type != "cuda" or graphs != "full":
        return None
    reason = search_weights.unsupported_reason(network)
    if reason:
        log.info("This checkpoint runs on NeMo's search, which is slower: %s.", reason)
        return None
    problem = toolchain.missing()
    if problem is None:
        try:
            from src.engine.decoder.fused_search import FusedSearch

            return FusedSearch(search_weights.weights_of(network), start)
        except Exception as error:  # for example, a Triton that does not match this torch
            problem = one_line(error)
    log.warning("The decoder runs on NeMo's search, which is slower: %s.", problem)
    return None


def check_search(search: "FusedSearch", scorer: TokenScorer, encoder_width: int) -> None:
    """Compare the durations and probabilities of the tokens that a search finds in noise with PyTorch's.

    Raises:
        SearchMismatch: they differ.
    """
    like = scorer.weight
    generator = torch.Generator(like.device).manual_seed(0)
    shape = (CHECK_CLIPS, CHECK_FRAMES, encoder_width)
    frames = torch.randn(shape, generator=generator, device=like.device).to(like.dtype)
    lengths = torch.linspace(CHECK_FRAMES, 1, CHECK_CLIPS, device=like.device).long()
    with torch.inference_mode():
        found = search(frames, lengths, None)
        most = int(found.counts.max())
        if not most:  # noise says nothing to this checkpoint
            return
        rows = found.rows(most)
        tokens = SimpleNamespace(
            current_lengths=found.counts.long(),
            transcript=found.tokens[:, 0, :most].long(),
            timestamps=found.tokens[:, 1, :most].long(),
        )
        exists = torch.arange(most, device=like.device) < found.counts.unsqueeze(1)
        tokens.transcript = torch.where(exists, tokens.transcript, 0)
        outputs = scorer.prednet_outputs(tokens, CHECK_CLIPS, most, None)
        expected = scorer.pack(frames, tokens, outputs, None)
    _compare(rows[:, 1:].view(-1, 4, most), expected[:, 1:].view(-1, 4, most), exists, like.dtype)


class SearchMismatch(Exception):
    """A search finds something else than PyTorch."""


def _compare(found: torch.Tensor, expected: torch.Tensor, exists: torch.Tensor, dtype: torch.dtype) -> None:
    """Compare tokens, (clips, 4, tokens) int32, where they exist."""
    ends = (found[:, 2] == expected[:, 2])[exists].float().mean().item()
    logprobs = [each[:, 3].contiguous().view(torch.float32)[exists] for each in (found, expected)]
    error = (logprobs[0] - logprobs[1]).abs().mean().item()
    if not (ends > 0.9 and error < MAX_ERRORS[dtype]):  # also if it is NaN
        raise SearchMismatch(f"{ends:.0%} of the durations are right, and probabilities have an error of {error:.1g}")
