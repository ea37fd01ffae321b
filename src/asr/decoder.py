"""The decoder: from the encoder's frames to tokens with their times and probabilities, hot words included.

It drives NeMo's label-looping computer itself rather than `rnnt_decoder_predictions_tensor`, which splits results and
decoder states into tensors for each clip; so a batch comes back in one piece. Hot words have a computer of their own
beside the checkpoint's, so that a batch in which nobody boosts does not pay for those who might.

Probabilities and durations are computed after decoding, for all tokens of a batch at once. NeMo's confidence is that of
the token which would have won without hot words, scaled, and in bfloat16 too coarse for its logarithm near 1. The
durations that NeMo 3.0.0 stores are wrong in batches without CUDA graphs: while other clips look for their next token,
those of a clip that has one are overwritten with what the joint says of a later frame.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from src.asr.biasing import Biasing
from src.asr.transcript import Token

if TYPE_CHECKING:
    import torch

FRAME_SECONDS = 0.08
"""One encoder frame of Parakeet: features of 10 ms, subsampled 8 times."""


class Decoder:
    """The greedy decoder of a NeMo transducer network, which must be on its device and of its dtype already.

    `boost_alpha` is how much hot words are raised; 0 turns them off.
    """

    def __init__(self, network: Any, boost_alpha: float) -> None:
        self._predictor, self._joint = network.decoder, network.joint
        self._boosting = _computer(network, enable_per_stream_biasing=True)
        self._plain = _computer(network, enable_per_stream_biasing=False)  # last: the network keeps the last one
        self._biasing = Biasing(self._boosting.biasing_multi_model, network.tokenizer, boost_alpha)
        self._durations: list[int] = list(network.decoding.durations or ())
        self._pieces: list[str] = network.tokenizer.ids_to_tokens(list(range(network.tokenizer.vocab_size)))

    def decode(
        self,
        encoded: "torch.Tensor",
        lengths: "torch.Tensor",
        boosts: Sequence[tuple[str, ...]],
        clips_s: Sequence[float],
    ) -> list[tuple[Token, ...]]:
        """Return the tokens of each clip.

        `encoded` is (clips, width, frames), `lengths` (clips,) in frames; `boosts` has the hot words of each clip and
        `clips_s` its length in seconds, which no token's time exceeds.
        """
        import torch

        frames = encoded.transpose(1, 2)
        trees = self._biasing.trees_for(boosts)
        with torch.inference_mode():
            found = self._search(frames, lengths, trees)
            clips = len(clips_s)  # with CUDA graphs `found` may have the rows of an earlier, larger batch
            counts = found.current_lengths[:clips].tolist()
            longest = max(1, *counts)
            ids, starts = found.transcript[:clips, :longest], found.timestamps[:clips, :longest]
            durations, logprobs = self._judge(frames, ids, starts)
            rows = torch.stack((ids, starts, starts + durations), dim=1).tolist()
            scores = logprobs.tolist()
        return [
            self._tokens(ids[:count], starts[:count], ends[:count], logprobs[:count], clip_s)
            for (ids, starts, ends), logprobs, count, clip_s in zip(rows, scores, counts, clips_s, strict=True)
        ]

    def _search(self, frames: "torch.Tensor", lengths: "torch.Tensor", trees: list[int] | None) -> Any:
        """Return NeMo's `BatchedHyps`: the number of tokens (clips,), their ids and their frames (clips, tokens)."""
        import torch

        if trees is None:
            found, _ = self._plain(x=frames, out_len=lengths)
        else:
            biasing = torch.tensor(trees, device=frames.device)
            found, _ = self._boosting(x=frames, out_len=lengths, multi_biasing_ids=biasing)
        return found

    def _judge(
        self, frames: "torch.Tensor", ids: "torch.Tensor", starts: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the durations in frames, int64, and the log-probabilities without hot words, float32, of tokens.

        All are (clips, tokens); what lies behind a clip's last token is any number.
        """
        import torch

        starts = starts.clamp(max=frames.shape[1] - 1)  # behind the last token they may lie outside
        heard = frames.gather(1, starts.unsqueeze(2).expand(-1, -1, frames.shape[2]))
        said, _ = self._predictor.predict(ids[:, :-1], None, add_sos=True)
        pairs = self._joint.joint_after_projection(
            self._joint.project_encoder(heard).flatten(0, 1).unsqueeze(1),
            self._joint.project_prednet(said).flatten(0, 1).unsqueeze(1),
        )
        scores = pairs.view(*ids.shape, -1)
        of_tokens = scores[..., : scores.shape[2] - len(self._durations)].float()
        logprobs = of_tokens.gather(2, ids.unsqueeze(2)).squeeze(2) - of_tokens.logsumexp(2)
        if not self._durations:  # an RNN-T goes on frame by frame
            return torch.ones_like(ids), logprobs.clamp(max=0)
        choices = torch.tensor(self._durations, device=ids.device)
        return choices[scores[..., -len(self._durations) :].argmax(2)], logprobs.clamp(max=0)

    def _tokens(
        self, ids: list[int], starts: list[int], ends: list[int], logprobs: list[float], clip_s: float
    ) -> tuple[Token, ...]:
        # The decoder never goes back, but rounding may give another duration than the one it went by.
        nexts = [*starts, math.inf][1:]
        return tuple(
            Token(
                id,
                self._pieces[id],
                start_s=min(start * FRAME_SECONDS, clip_s),
                end_s=min(end * FRAME_SECONDS, next_start * FRAME_SECONDS, clip_s),
                logprob=logprob,
            )
            for id, start, end, next_start, logprob in zip(ids, starts, ends, nexts, logprobs, strict=True)
        )


def _computer(network: Any, *, enable_per_stream_biasing: bool) -> Any:
    """Return a new label-looping computer of the checkpoint's settings, with or without room for hot words."""
    from omegaconf import open_dict

    cfg = network.cfg.decoding.copy()
    with open_dict(cfg):
        cfg.strategy = "greedy_batch"
        cfg.greedy.enable_per_stream_biasing = enable_per_stream_biasing
    network.change_decoding_strategy(cfg, verbose=False)
    return network.decoding.decoding.decoding_computer
