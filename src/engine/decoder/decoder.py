"""The decoder: turns the encoder's frames into tokens with times and probabilities, and boosts keywords.

It calls NeMo's label-looping computer itself. NeMo's `rnnt_decoder_predictions_tensor` splits results and states into
tensors for each clip; here the results of a batch come back as one tensor, so with CUDA graphs the host waits for the
device once a batch. Keywords have computers of their own, so that a batch without keywords does not pay for them.

An utterance of live text is decoded in steps. The decoder state between two steps is NeMo's: the state of the
prediction network and its output for the last token, the frames by which the last duration reaches beyond the step, and
the place in the utterance's boosting tree. That place is relative to the tree's root, so between two steps a tree may
move in the table, or leave it and come back.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from src.engine.decoder.biasing import BiasingTable
from src.engine.decoder.computers import Computers, kept_outputs, max_kept_tokens, missing_for_keywords
from src.engine.decoder.cuda_graphs import GraphMode
from src.engine.decoder.keyword_lists import MAX_REQUEST_LISTS, KeywordLists
from src.engine.decoder.label_looping import BatchedHyps, BatchedState, LabelLoopingComputer
from src.engine.decoder.packed_trees import PackedTrees, pack_trees
from src.engine.decoder.scoring import Hypothesis, TokenScorer, unpack
from src.engine.frames import FRAME_SECONDS
from src.engine.model import StepResult, StreamStep
from src.engine.transfers import to_device, to_host
from src.text.transcript import Token

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SMALL_BATCH = 4
"""The largest batch that a GPU's computer for small batches decodes."""


class _Search(NamedTuple):
    """A search that a computer has done."""

    computer: LabelLoopingComputer
    before: BatchedState | None
    """The state that it continued from, None if all clips began."""
    found: BatchedHyps
    after: BatchedState


class Decoder:
    """The greedy decoder of a NeMo transducer network, which must be on its device and have its final dtype.

    One thread decodes. Other threads may call `compile`, `has_compiled` and `pack_trees_for`.

    Args:
        network: the checkpoint.
        boost_alpha: how much keywords are boosted; 0 turns them off.
        graphs: how CUDA graphs are used.
        max_keyword_lists: how many lists of keywords stay compiled.
        small_batch: the largest batch for the computer for small batches, 0 for no such computer; None means
            `SMALL_BATCH` with CUDA graphs and 0 without.
    """

    def __init__(
        self,
        network: Any,
        boost_alpha: float,
        graphs: GraphMode = "full",
        max_keyword_lists: int = MAX_REQUEST_LISTS,
        small_batch: int | None = None,
    ) -> None:
        self._device: torch.device = next(network.decoder.parameters()).device
        if small_batch is None:
            small_batch = SMALL_BATCH if self._device.type == "cuda" and graphs != "off" else 0
        self._small_batch = small_batch
        self._joint = network.joint
        self._boosting = Computers(network, graphs, small_batch=small_batch, with_keywords=True)
        if problem := missing_for_keywords(self._device):
            log.warning("Keywords run without Triton's kernel and CUDA graphs, slower: %s.", problem)
            self._boosting.disable_graphs()
        # Created last, so that the network keeps a computer without keywords.
        self._plain = Computers(network, graphs, small_batch=small_batch, with_keywords=False)
        self._scorer = TokenScorer(network, self._device)
        table = self._boosting.table.to(self._device)
        self._biasing = BiasingTable(table, boost_alpha)
        self._boosts = boost_alpha > 0
        self._keyword_lists = KeywordLists(network.tokenizer, table.vocab_size, max_keyword_lists)
        self._pieces: list[str] = network.tokenizer.ids_to_tokens(list(range(network.tokenizer.vocab_size)))

    @property
    def graphs(self) -> str:
        """How CUDA graphs are used, in NeMo's words, or `off`."""
        mode = self._plain.large.cuda_graphs_mode
        return "off" if mode is None else str(mode.value)

    def disable_graphs(self) -> bool:
        """Stop using CUDA graphs and return whether they were in use."""
        were_used = [computers.disable_graphs() for computers in (self._plain, self._boosting)]
        return any(were_used)

    def warm_up(self, clips: int, frames: int) -> None:
        """Search empty batches with room for this many clips and frames, with and without keywords.

        A computer captures its CUDA graph for a number of clips and frames. A batch with more of either has to wait for
        a new capture.
        """
        import torch

        weight = self._joint.enc.weight
        for count in {clips, min(self._small_batch or clips, clips)}:
            encoded = weight.new_zeros(count, frames, weight.shape[1])
            lengths = torch.ones(count, dtype=torch.int64, device=weight.device)
            for trees in (None, self.pack_trees_for([("a",)] * count)):
                self._search(encoded, lengths, trees, [None] * count)

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        """Whether a list of keywords is compiled, or keywords are off."""
        return not self._boosts or keywords in self._keyword_lists

    def compile(self, keywords: tuple[str, ...]) -> None:
        """Compile a list of keywords for later batches; any thread may call this."""
        if not self.has_compiled(keywords):
            self._keyword_lists.tree(keywords)

    def pack_trees_for(self, keywords: Sequence[tuple[str, ...]]) -> PackedTrees | None:
        """Return the boosting trees of a batch, given the keywords of each clip; any thread may call this.

        None if no clip has keywords, or keywords are off.
        """
        if not self._boosts or not any(keywords):
            return None
        trees = [self._keyword_lists.tree(each) if each else None for each in keywords]
        return pack_trees(trees, pinned=self._device.type == "cuda")

    def decode(
        self,
        encoded: "torch.Tensor",
        lengths: "torch.Tensor",
        trees: PackedTrees | None,
        clips_s: Sequence[float],
    ) -> list[tuple[Token, ...]]:
        """Return the tokens of each clip, with times in seconds from its start.

        Args:
            encoded: the encoder's frames, (clips, width, frames).
            lengths: the number of frames of each clip, (clips,) int64.
            trees: the boosting trees of the clips.
            clips_s: the length of each clip in seconds; no token ends later.
        """
        hypotheses, _ = self._decode(encoded.transpose(1, 2), lengths, trees, [None] * len(clips_s))
        return [self._tokens(each, 0, clip_s) for each, clip_s in zip(hypotheses, clips_s, strict=True)]

    def advance(
        self,
        encoded: "torch.Tensor",
        lengths: "torch.Tensor",
        trees: PackedTrees | None,
        steps: Sequence[StreamStep],
    ) -> list[StepResult]:
        """Return the tokens of each step, and the decoder state for the utterance's next step.

        Args:
            encoded: the frames of the steps' whole windows, (steps, width, frames).
            lengths: the number of frames of each window, (steps,) int64.
            trees: the boosting trees of the steps.
            steps: which frames of each window to decode, and from which state.
        """
        import torch

        with torch.inference_mode():
            frames, counts = _frames_to_decode(encoded.transpose(1, 2), lengths, steps)
            hypotheses, after = self._decode(frames, counts, trees, [step.decoder_state for step in steps])
            # With CUDA graphs, `after` may also have rows of an earlier, larger batch.
            items = self._plain.large.split_batched_state(after)[: len(steps)]
            states = [_clone_state(item) for item in items]
        return [
            StepResult(self._tokens(hypothesis, step.start_frame, step.end_s), state)
            for hypothesis, step, state in zip(hypotheses, steps, states, strict=True)
        ]

    def _decode(
        self,
        frames: "torch.Tensor",
        lengths: "torch.Tensor",
        trees: PackedTrees | None,
        states: Sequence[Any],
    ) -> tuple[list[Hypothesis], BatchedState]:
        """Return the tokens in `frames`, (clips, frames, width), and NeMo's state after them.

        `states` has the state that each clip continues from, None for one that begins.
        """
        import torch

        clips = len(states)
        with torch.inference_mode():
            search = self._search(frames, lengths, trees, states)
            outputs = kept_outputs(search.computer, clips, max_kept_tokens(frames.shape[1]))
            if outputs is None:
                tokens = max(1, int(search.found.current_lengths[:clips].max()))
                outputs = self._scorer.prednet_outputs(search.found, clips, tokens, search.before)
            rows = to_host(self._scorer.pack(frames, search.found, outputs, search.before))
            if (tokens := int(rows[:, 0].max())) > outputs.shape[1]:
                # More tokens than expected of so many frames. A graph for longer clips may have kept them all.
                outputs = kept_outputs(search.computer, clips, tokens)
                if outputs is None:
                    outputs = self._scorer.prednet_outputs(search.found, clips, tokens, search.before)
                rows = to_host(self._scorer.pack(frames, search.found, outputs, search.before))
        return list(map(unpack, rows)), search.after

    def _search(
        self,
        frames: "torch.Tensor",
        lengths: "torch.Tensor",
        trees: PackedTrees | None,
        states: Sequence[Any],
    ) -> _Search:
        """Search `frames`, (clips, frames, width), with the computer for this batch."""
        import torch

        computer = (self._boosting if trees else self._plain).for_batch(len(states))
        tree_ids = self._biasing.load(trees) if trees else None
        with torch.inference_mode():
            before = _merge_states(computer, states)
            found, after = computer(x=frames, out_len=lengths, prev_batched_state=before, multi_biasing_ids=tree_ids)
        return _Search(computer, before, found, after)

    def _tokens(self, hypothesis: Hypothesis, first_frame: int, end_s: float) -> tuple[Token, ...]:
        """Return tokens with times in seconds, none after `end_s`; their frames count from `first_frame`."""
        # Times never overlap in the search, but rounding may give another duration than the search went by.
        next_starts = [*hypothesis.starts, math.inf][1:]
        return tuple(
            Token(
                id,
                self._pieces[id],
                start_s=min((first_frame + start) * FRAME_SECONDS, end_s),
                end_s=min((first_frame + min(end, next_start)) * FRAME_SECONDS, end_s),
                logprob=logprob,
            )
            for id, start, end, logprob, next_start in zip(*hypothesis, next_starts, strict=True)
        )


def _frames_to_decode(
    frames: "torch.Tensor", lengths: "torch.Tensor", steps: Sequence[StreamStep]
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return the frames of each window after its left context, (steps, frames, width), and their numbers, (steps,)."""
    import torch

    skip, take = to_device([[step.skip_frames for step in steps], [step.take_frames for step in steps]], frames.device)
    longest = min(max(step.take_frames for step in steps), frames.shape[1])
    indices = skip.unsqueeze(1) + torch.arange(longest, device=frames.device)
    indices = indices.clamp(max=frames.shape[1] - 1).unsqueeze(2).expand(-1, -1, frames.shape[2])
    return frames.gather(1, indices), take.minimum(lengths - skip).clamp(min=0)


def _merge_states(computer: LabelLoopingComputer, states: Sequence[Any]) -> BatchedState | None:
    """Return the states of a batch's utterances, None for one that begins, as one; None if all begin."""
    if all(state is None for state in states):
        return None
    # A state from a batch without keywords has no place in a boosting tree.
    roots = [model.get_init_states(batch_size=1)[0] for model in computer._all_fusion_models()]

    def with_root_states(state: Any) -> Any:
        return replace(state, fusion_state_list=[root.to(state.label.device) for root in roots])

    return computer.merge_to_batched_state(
        [state if state is None or state.fusion_state_list else with_root_states(state) for state in states]
    )


def _clone_state(item: Any) -> Any:
    """Return a copy of one utterance's state that does not keep the tensors of the whole batch alive."""
    import torch

    def clone(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.clone()
        return None if value is None else [clone(each) for each in value]

    return type(item)(**{name: clone(value) for name, value in vars(item).items()})
