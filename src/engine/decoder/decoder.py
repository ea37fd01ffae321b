"""The decoder: from the encoder's frames to tokens with their times and probabilities, hot words included.

It drives NeMo's label-looping computer itself rather than `rnnt_decoder_predictions_tensor`, which splits results and
decoder states into tensors for each clip; so a batch comes back in one piece, and with CUDA graphs the host waits for
the device once for each batch, then. Hot words have computers of their own, so that a batch in which nobody boosts does
not pay for those who might.

Probabilities and durations are computed after decoding, for all tokens of a batch at once. NeMo's confidence is that of
the token which would have won without hot words, scaled, and in bfloat16 too coarse for its logarithm near 1. The
durations that NeMo 3.0.0 stores are wrong in batches without CUDA graphs: while other clips look for their next token,
those of a clip that has one are overwritten with what the joint says of a later frame.

A stream is decoded in steps. What the computer knows after one, and goes on from in the next, is NeMo's state: that of
the prediction network, its output for the last label, how far the last duration reaches beyond the chunk, and where in
the tree of hot words the stream is, counted from the tree's root, so that trees may come and go between two steps.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.engine.decoder.biasing import BiasingTable
from src.engine.decoder.computers import Computers, kept_outputs, max_kept_tokens, missing_for_keywords
from src.engine.decoder.cuda_graphs import Mode
from src.engine.decoder.keyword_lists import MAX_REQUEST_LISTS, KeywordLists
from src.engine.decoder.packed_trees import PackedTrees, pack_trees
from src.engine.frames import FRAME_SECONDS
from src.engine.model import StepResult, StreamStep
from src.engine.transfers import to_device, to_host
from src.text.transcript import Token

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SMALL_BATCH = 4
"""Clips that a computer of their own decodes on a GPU, where a batch has no more."""


class _Emitted(NamedTuple):
    """The tokens of one clip: their ids, first frames, the frames after their ends, and log-probabilities."""

    ids: list[int]
    starts: list[int]
    ends: list[int]
    logprobs: list[float]


class Decoder:
    """The greedy decoder of a NeMo transducer network, which must be on its device and of its dtype already.

    One thread decodes; `compile` and `pack_trees_for` may be called from others.

    Args:
        network: the checkpoint.
        boost_alpha: how much hot words are raised; 0 turns them off.
        graphs: how CUDA graphs are used.
        keyword_lists: how many lists of keywords stay compiled.
        small_batch: the largest batch that a computer of its own decodes, 0 for none; None means `SMALL_BATCH` with
            CUDA graphs and 0 without.
    """

    def __init__(
        self,
        network: Any,
        boost_alpha: float,
        graphs: Mode = "full",
        keyword_lists: int = MAX_REQUEST_LISTS,
        small_batch: int | None = None,
    ) -> None:
        import torch

        self._device: torch.device = next(network.decoder.parameters()).device
        if small_batch is None:
            small_batch = SMALL_BATCH if self._device.type == "cuda" and graphs != "off" else 0
        self._few = small_batch
        self._predictor, self._joint = network.decoder, network.joint
        self._boosting = Computers(network, graphs, small_batch=small_batch, enable_per_stream_biasing=True)
        if problem := missing_for_keywords(self._device):
            log.warning("Hot words are heard without Triton's kernel and CUDA graphs, slower: %s.", problem)
            self._boosting.disable_graphs()
        self._plain = Computers(
            network, graphs, small_batch=small_batch, enable_per_stream_biasing=False
        )  # which the network keeps
        table = self._boosting.table.to(self._device)
        self._biasing = BiasingTable(table, boost_alpha)
        self._boosts = boost_alpha > 0
        self._keyword_lists = KeywordLists(network.tokenizer, table.vocab_size, keyword_lists)
        self._durations = torch.tensor(list(network.decoding.durations or ()), device=self._device, dtype=torch.int64)
        self._pieces: list[str] = network.tokenizer.ids_to_tokens(list(range(network.tokenizer.vocab_size)))

    @property
    def graphs(self) -> str:
        """How CUDA graphs are used, in NeMo's words, or `off`."""
        mode = self._plain.large.cuda_graphs_mode
        return "off" if mode is None else str(mode.value)

    def disable_graphs(self) -> bool:
        """Do without CUDA graphs from now on; return whether they were in use."""
        were_used = [computers.disable_graphs() for computers in (self._plain, self._boosting)]
        return any(were_used)

    def warm_up(self, clips: int, frames: int) -> None:
        """Search through nothing in batches with room for so many clips and frames, with and without hot words.

        With CUDA graphs a computer is captured for a number of clips and one of frames, and anew where a batch has more
        of either, while its clips wait.
        """
        import torch

        weight = self._joint.enc.weight
        for count in {clips, min(self._few or clips, clips)}:
            encoded = weight.new_zeros(count, frames, weight.shape[1])
            lengths = torch.ones(count, dtype=torch.int64, device=weight.device)
            for keyword_trees in (None, self.pack_trees_for([("a",)] * count)):
                self._find(encoded, lengths, keyword_trees, [None] * count)

    def has_compiled(self, phrases: tuple[str, ...]) -> bool:
        """Whether hot words cost nothing more to begin with."""
        return not self._boosts or phrases in self._keyword_lists

    def compile(self, phrases: tuple[str, ...]) -> None:
        """Compile hot words, for the batches that follow; any thread may do so."""
        if not self.has_compiled(phrases):
            self._keyword_lists.tree(phrases)

    def pack_trees_for(self, keywords: Sequence[tuple[str, ...]]) -> PackedTrees | None:
        """Return the hot words of a batch's clips, compiled, None where no clip has any; any thread may do so."""
        if not self._boosts or not any(keywords):
            return None
        trees = [self._keyword_lists.tree(phrases) if phrases else None for phrases in keywords]
        return pack_trees(trees, pinned=self._device.type == "cuda")

    def decode(
        self,
        encoded: "torch.Tensor",
        lengths: "torch.Tensor",
        keyword_trees: PackedTrees | None,
        clips_s: Sequence[float],
    ) -> list[tuple[Token, ...]]:
        """Return the tokens of each clip.

        `encoded` is (clips, width, frames), `lengths` (clips,) in frames; `keyword_trees` has the keywords of the clips
        and `clips_s` their lengths in seconds, which no token's time exceeds.
        """
        emitted, _ = self._search(encoded.transpose(1, 2), lengths, keyword_trees, [None] * len(clips_s))
        return [self._tokens(each, 0, clip_s) for each, clip_s in zip(emitted, clips_s, strict=True)]

    def advance(
        self,
        encoded: "torch.Tensor",
        lengths: "torch.Tensor",
        keyword_trees: PackedTrees | None,
        steps: Sequence[StreamStep],
    ) -> list[StepResult]:
        """Return what is heard in the chunk of each step, and the memory for the stream's next step.

        `encoded` is (steps, width, frames) and `lengths` (steps,) in frames, both of the steps' whole windows;
        `keyword_trees` has the hot words of the steps.
        """
        import torch

        with torch.inference_mode():
            frames, counts = _chunks(encoded.transpose(1, 2), lengths, steps)
            emitted, state = self._search(frames, counts, keyword_trees, [step.decoder_state for step in steps])
            # With CUDA graphs there may be the rows of an earlier, larger batch.
            items = self._plain.large.split_batched_state(state)[: len(steps)]
            memories = [_own(item) for item in items]
        return [
            StepResult(self._tokens(each, step.start_frame, step.end_s), memory)
            for each, step, memory in zip(emitted, steps, memories, strict=True)
        ]

    def _search(
        self,
        frames: "torch.Tensor",
        lengths: "torch.Tensor",
        keyword_trees: PackedTrees | None,
        memories: Sequence[Any],
    ) -> tuple[list[_Emitted], Any]:
        """Return what is emitted in `frames`, (clips, frames, width), and NeMo's state after it.

        A clip goes on from its memory; one that has none begins.
        """
        import torch

        clips = len(memories)
        with torch.inference_mode():
            computer, before, found, after = self._find(frames, lengths, keyword_trees, memories)
            said = kept_outputs(computer, clips, max_kept_tokens(frames.shape[1]))
            if said is None:
                said = self._said(found, clips, max(1, int(found.current_lengths[:clips].max())), before)
            rows = to_host(self._packed(frames, found, said, before))
            if (longest := int(rows[:, 0].max())) > said.shape[1]:
                said = kept_outputs(computer, clips, longest)  # there may be room for more than one batch's frames have
                if said is None:
                    said = self._said(found, clips, longest, before)
                rows = to_host(self._packed(frames, found, said, before))
        return list(map(_emitted, rows)), after

    def _find(
        self,
        frames: "torch.Tensor",
        lengths: "torch.Tensor",
        keyword_trees: PackedTrees | None,
        memories: Sequence[Any],
    ) -> tuple[Any, Any, Any, Any]:
        """Return the computer that has searched, NeMo's state before, its `BatchedHyps`, and its state after.

        `BatchedHyps` has the number of tokens, (clips,), their ids and their frames, (clips, tokens), all int64.
        """
        import torch

        computer = (self._boosting if keyword_trees else self._plain).for_batch(len(memories))
        trees = self._biasing.take(keyword_trees) if keyword_trees else None
        with torch.inference_mode():
            before = _merged(computer, memories)
            found, after = computer(x=frames, out_len=lengths, prev_batched_state=before, multi_biasing_ids=trees)
        return computer, before, found, after

    def _packed(self, frames: "torch.Tensor", found: Any, said: "torch.Tensor", before: Any) -> "torch.Tensor":
        """Return all that is to know of a batch's tokens in one piece, which `_emitted` reads.

        It is (clips, 1 + 4 tokens), int32: for each clip the number of its tokens, then their ids, first frames, the
        frames after their ends and the bits of their log-probabilities, float32. For `said` see `_judge`; `before` is
        NeMo's state before the first tokens, None where they begin their clips.
        """
        import torch

        clips, tokens = said.shape[:2]
        ids, starts = found.transcript[:clips, :tokens], found.timestamps[:clips, :tokens]
        if before is not None:
            starts = starts - before.decoded_lengths.unsqueeze(1)
        durations, logprobs = self._judge(frames, ids, starts, said)
        counts = found.current_lengths[:clips].unsqueeze(1)
        numbers = torch.cat((counts, ids, starts, starts + durations), dim=1)
        return torch.cat((numbers.int(), logprobs.view(torch.int32)), dim=1)

    def _judge(
        self, frames: "torch.Tensor", ids: "torch.Tensor", starts: "torch.Tensor", said: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the durations in frames, int64, and the log-probabilities without hot words, float32, of tokens.

        All are (clips, tokens); what lies behind a clip's last token is any number. `said` is what the prediction
        network said, projected, (clips, tokens, width), when each token was chosen.
        """
        import torch

        starts = starts.clamp(0, frames.shape[1] - 1)  # behind the last token they may lie outside
        heard = frames.gather(1, starts.unsqueeze(2).expand(-1, -1, frames.shape[2]))
        pairs = self._joint.joint_after_projection(
            self._joint.project_encoder(heard).flatten(0, 1).unsqueeze(1), said.flatten(0, 1).unsqueeze(1)
        )
        scores = pairs.view(*ids.shape, -1)
        of_tokens = scores[..., : scores.shape[2] - len(self._durations)].float()
        logprobs = of_tokens.gather(2, ids.unsqueeze(2)).squeeze(2) - of_tokens.logsumexp(2)
        if not len(self._durations):  # an RNN-T goes on frame by frame
            return torch.ones_like(ids), logprobs.clamp(max=0)
        return self._durations[scores[..., -len(self._durations) :].argmax(2)], logprobs.clamp(max=0)

    def _said(self, found: Any, clips: int, tokens: int, before: Any) -> "torch.Tensor":
        """Compute what the prediction network said, projected, (clips, tokens, width), when each token was chosen."""
        import torch

        ids = found.transcript[:clips, :tokens]
        if before is None:
            outputs, _ = self._predictor.predict(ids[:, :-1], None, add_sos=True)
            said: torch.Tensor = self._joint.project_prednet(outputs)
            return said
        # One more than needed, as there may be no token but the last, and the network takes no empty sequence.
        outputs, _ = self._predictor.predict(ids, before.predictor_states, add_sos=False)
        return torch.cat((before.predictor_outputs, self._joint.project_prednet(outputs)[:, :-1]), dim=1)

    def _tokens(self, emitted: _Emitted, first_frame: int, end_s: float) -> tuple[Token, ...]:
        """Return tokens with their times, none of which exceeds `end_s`; `first_frame` is the frames' place in time."""
        # The decoder never goes back, but rounding may give another duration than the one it went by.
        nexts = [*emitted.starts, math.inf][1:]
        return tuple(
            Token(
                id,
                self._pieces[id],
                start_s=min((first_frame + start) * FRAME_SECONDS, end_s),
                end_s=min((first_frame + min(end, next_start)) * FRAME_SECONDS, end_s),
                logprob=logprob,
            )
            for id, start, end, logprob, next_start in zip(*emitted, nexts, strict=True)
        )


def _emitted(row: NDArray[np.int32]) -> _Emitted:
    """Return the tokens of one clip from its row of what `Decoder._packed` returns."""
    ids, starts, ends, logprobs = row[1:].reshape(4, -1)[:, : row[0]]
    return _Emitted(ids.tolist(), starts.tolist(), ends.tolist(), logprobs.view(np.float32).tolist())


def _chunks(
    frames: "torch.Tensor", lengths: "torch.Tensor", steps: Sequence[StreamStep]
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return the frames of each window's chunk, (steps, frames, width), and how many those are, (steps,)."""
    import torch

    skipped, wanted = to_device(
        [[step.skip_frames for step in steps], [step.take_frames for step in steps]], frames.device
    )
    longest = min(max(step.take_frames for step in steps), frames.shape[1])
    places = skipped.unsqueeze(1) + torch.arange(longest, device=frames.device)
    places = places.clamp(max=frames.shape[1] - 1).unsqueeze(2).expand(-1, -1, frames.shape[2])
    return frames.gather(1, places), wanted.minimum(lengths - skipped).clamp(min=0)


def _merged(computer: Any, memories: Sequence[Any]) -> Any:
    """Return the memories of a batch's streams, None for a new one, as one state; None if all are new."""
    if all(memory is None for memory in memories):
        return None
    # A stream without hot words may come from a batch in which nobody had any: its state knows of no tree.
    roots = [model.get_init_states(batch_size=1)[0] for model in computer._all_fusion_models()]

    def rooted(memory: Any) -> Any:
        return replace(memory, fusion_state_list=[root.to(memory.label.device) for root in roots])

    known = [memory if memory is None or memory.fusion_state_list else rooted(memory) for memory in memories]
    return computer.merge_to_batched_state(known)


def _own(item: Any) -> Any:
    """Return a copy of one stream's state that does not keep the tensors of the whole batch alive."""
    import torch

    def copied(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.clone()
        return None if value is None else [copied(each) for each in value]

    return type(item)(**{name: copied(value) for name, value in vars(item).items()})
