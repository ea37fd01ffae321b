"""Durations and log-probabilities of decoded tokens, computed for a whole batch after the search.

NeMo has both during the search, but not as the service needs them. Its confidence is that of the token that would have
won without keywords, scaled, and bfloat16 is too coarse for its logarithm near 1. The durations that it stores are
wrong in batches without CUDA graphs: while other clips look for their next token, a later frame's duration overwrites
that of a clip that has found one.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.engine.decoder.label_looping import BatchedHyps, BatchedState

if TYPE_CHECKING:
    import torch


ROWS_AT_A_TIME = 2048
"""Tokens that are scored at a time. A batch on a GPU may have 10,000, and Parakeet v3 has 8,193 scores for each: 64 MB
at a time instead of 330, in float32."""


class Hypothesis(NamedTuple):
    """The tokens of one clip; all arrays have one entry for each token."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int32]
    """The first frame of each."""
    ends: NDArray[np.int32]
    """The frame after the last of each."""
    logprobs: NDArray[np.float32]


class TokenScorer:
    """Scores the tokens that a search has found.

    Args:
        network: the checkpoint, on `device`.
        device: where its weights are.
    """

    def __init__(self, network: Any, device: "torch.device") -> None:
        import torch

        self._prednet, self._joint = network.decoder, network.joint
        # The joint's last outputs stand for these durations in frames; an RNN-T has none.
        self._durations = torch.tensor(list(network.decoding.durations or ()), device=device, dtype=torch.int64)

    @property
    def weight(self) -> "torch.Tensor":
        """A weight of the network, which has its device and its dtype."""
        weight: torch.Tensor = self._joint.enc.weight
        return weight

    def prednet_outputs(
        self, found: BatchedHyps, clips: int, tokens: int, before: BatchedState | None
    ) -> "torch.Tensor":
        """Return the prediction network's projected outputs from which tokens were chosen, (clips, tokens, width).

        Args:
            found: the tokens.
            clips: how many clips of `found` to take.
            tokens: how many tokens of each.
            before: the decoder state before the first tokens, None if they begin their clips.
        """
        import torch

        ids = found.transcript[:clips, :tokens]
        if before is None:
            outputs, _ = self._prednet.predict(ids[:, :-1], None, add_sos=True)
            projected: torch.Tensor = self._joint.project_prednet(outputs)
            return projected
        # One token more than needed, as the network takes no empty sequence.
        outputs, _ = self._prednet.predict(ids, before.predictor_states, add_sos=False)
        return torch.cat((before.predictor_outputs, self._joint.project_prednet(outputs)[:, :-1]), dim=1)

    def pack(
        self, frames: "torch.Tensor", found: BatchedHyps, outputs: "torch.Tensor", before: BatchedState | None
    ) -> "torch.Tensor":
        """Return the scored tokens of a batch as one tensor, (clips, 1 + 4 * tokens) int32, for `unpack`.

        A row holds a clip's number of tokens, then their ids, first frames, the frames after their ends, and the bits
        of their float32 log-probabilities.

        Args:
            frames: what was decoded, (clips, frames, width).
            found: the tokens.
            outputs: see `prednet_outputs`; its size says how many clips and tokens of `found` to take.
            before: the decoder state before the first tokens, None if they begin their clips.
        """
        import torch

        clips, tokens = outputs.shape[:2]
        ids, starts = found.transcript[:clips, :tokens], found.timestamps[:clips, :tokens]
        if before is not None:
            starts = starts - before.decoded_lengths.unsqueeze(1)
        durations, logprobs = self._score_tokens(frames, ids, starts, outputs)
        counts = found.current_lengths[:clips].unsqueeze(1)
        numbers = torch.cat((counts, ids, starts, starts + durations), dim=1)
        return torch.cat((numbers.int(), logprobs.view(torch.int32)), dim=1)

    def _score_tokens(
        self, frames: "torch.Tensor", ids: "torch.Tensor", starts: "torch.Tensor", outputs: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the durations of tokens in frames, int64, and their log-probabilities without keywords, float32.

        `ids`, `starts` and both results are (clips, tokens). Entries past a clip's last token are undefined.
        """
        import torch

        starts = starts.clamp(0, frames.shape[1] - 1)  # undefined entries may lie outside
        encoded = frames.gather(1, starts.unsqueeze(2).expand(-1, -1, frames.shape[2]))
        projected, predicted = self._joint.project_encoder(encoded).flatten(0, 1), outputs.flatten(0, 1)
        rows = [each.split(ROWS_AT_A_TIME) for each in (projected, predicted, ids.flatten())]
        parts = [self._score_rows(*part) for part in zip(*rows, strict=True)]
        durations, logprobs = (torch.cat(each).view(ids.shape) for each in zip(*parts, strict=True))
        return durations, logprobs

    def _score_rows(
        self, projected: "torch.Tensor", predicted: "torch.Tensor", ids: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return durations and log-probabilities of tokens, both (rows,).

        Args:
            projected: the encoder's frame of each token, (rows, width of the joint network).
            predicted: the output of the prediction network from which it was chosen, of the same shape.
            ids: the tokens, (rows,).
        """
        import torch

        logits = self._joint.joint_after_projection(projected.unsqueeze(1), predicted.unsqueeze(1)).flatten(0, -2)
        token_logits = logits[:, : logits.shape[1] - len(self._durations)].float()
        logprobs = token_logits.gather(1, ids.unsqueeze(1)).squeeze(1) - token_logits.logsumexp(1)
        logprobs = logprobs.clamp(max=0)
        if not len(self._durations):  # an RNN-T advances frame by frame
            return torch.ones_like(ids), logprobs
        return self._durations[logits[:, -len(self._durations) :].argmax(1)], logprobs


def max_tokens(rows: NDArray[np.int32]) -> int:
    """Return for how many tokens of each clip there is room in what `TokenScorer.pack` returned."""
    return (len(rows[0]) - 1) // 4


def unpack(row: NDArray[np.int32]) -> Hypothesis:
    """Return the tokens of one clip from its row of what `TokenScorer.pack` returned."""
    ids, starts, ends, logprobs = row[1:].reshape(4, -1)[:, : row[0]]
    return Hypothesis(ids, starts, ends, logprobs.view(np.float32))
