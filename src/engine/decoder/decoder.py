"""The decoder: turns the encoder's frames into tokens with times and probabilities, and boosts keywords.

It calls NeMo's label-looping computer itself. NeMo's `rnnt_decoder_predictions_tensor` splits results and states into
tensors for each clip; here the results and states of a batch come back in one copy, so with CUDA graphs the host waits
for the device once a batch. Keywords have computers of their own, so that a batch without keywords does not pay for
them.

An utterance of live text is decoded in steps. The decoder state between two steps is NeMo's: the state of the
prediction network and its output for the last token, the frames by which the last duration reaches beyond the step, and
the place in the utterance's boosting tree. That place is relative to the tree's root, so between two steps a tree may
move in the table, or leave it and come back.

A batch of steps is one search, and a second one if steps ask for the frames after their chunk. The second begins on the
device where the first ends, and overwrites the memory of its graph; what is read of the first is copied before.

On a GPU, batches without keywords have a search of the engine's own (`fused_search.py`), which is many times as fast.
Decoder states are the same for both.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.engine.decoder.biasing import BiasingTable
from src.engine.decoder.computers import Computers, kept_outputs, max_kept_tokens, missing_for_keywords
from src.engine.decoder.cuda_graphs import GraphMode
from src.engine.decoder.keyword_lists import MAX_REQUEST_LISTS, KeywordLists
from src.engine.decoder.label_looping import BatchedHyps, BatchedState
from src.engine.decoder.packed_trees import PackedTrees, pack_trees
from src.engine.decoder.scoring import Hypothesis, TokenScorer, max_tokens, unpack
from src.engine.decoder.spans import FrameSpan, spans_after, spans_at_once
from src.engine.decoder.states import StateRows
from src.engine.device_errors import one_line
from src.engine.frames import FRAME_SECONDS
from src.engine.model import StepResult, StreamStep
from src.engine.transfers import to_device, to_host
from src.text.transcript import Token

if TYPE_CHECKING:
    import torch

    from src.engine.decoder.fused_search import FusedSearch

log = logging.getLogger(__name__)

SMALL_BATCH = 4
"""The largest batch that a GPU's computer for small batches decodes."""


class _Search(NamedTuple):
    """A search that a computer has done, and what it has found."""

    frames: "torch.Tensor"
    """What was searched, (clips, frames, width)."""
    before: BatchedState | None
    """The state that it continued from, None if all clips began."""
    found: BatchedHyps
    after: BatchedState
    kept: "torch.Tensor | None"
    """The prediction network's outputs (see `kept_outputs`). The next search overwrites them."""


class _Scored(NamedTuple):
    """The scored tokens of a search, on the device."""

    rows: "torch.Tensor"
    """See `TokenScorer.pack`."""
    rows_of: "Callable[[int], torch.Tensor]"
    """Returns rows for so many tokens of each clip, until the next search."""
    after: BatchedState
    """The state after the search; the next search may overwrite it."""


class _Windows(NamedTuple):
    """The encoded windows of a batch of steps."""

    frames: "torch.Tensor"
    """(steps, frames, width)."""
    lengths: "torch.Tensor"
    """The number of frames of each, (steps,) int64."""
    tree_ids: "torch.Tensor | None"
    """The number of each step's boosting tree, (steps,) int64; None if no step has keywords."""


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
        import torch

        from src.engine.decoder.search_selection import select_search

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
        with torch.inference_mode():
            computer = self._boosting.large
            self._states = StateRows(computer._get_batched_decoding_state_after_sos(self._device, batch_size=1))
            start = self._plain.large._get_batched_decoding_state_after_sos(self._device, batch_size=1)
            self._fused: FusedSearch | None = select_search(network, start, graphs)
        self._keyword_lists = KeywordLists(network.tokenizer, table.vocab_size, max_keyword_lists)
        self._pieces: list[str] = network.tokenizer.ids_to_tokens(list(range(network.tokenizer.vocab_size)))

    @property
    def search(self) -> str:
        """The search for batches without keywords, for the log."""
        return "fused search" if self._fused else "NeMo's search"

    @property
    def graphs(self) -> str:
        """How NeMo's computers use CUDA graphs, in NeMo's words, or `off`."""
        mode = self._plain.large.cuda_graphs_mode
        return "off" if mode is None else str(mode.value)

    def disable_graphs(self) -> bool:
        """Stop using CUDA graphs and return whether they were in use."""
        self._fused = None
        were_used = [computers.disable_graphs() for computers in (self._plain, self._boosting)]
        return any(were_used)

    def warm_up(self, clips: int, frames: int) -> None:
        """Search empty batches with room for this many clips and frames, with and without keywords.

        A computer captures its CUDA graph for a number of clips and frames. A batch with more of either has to wait for
        a new capture.
        """
        import torch

        self._warm_up_fused(clips, frames)
        weight = self._joint.enc.weight
        for count in {clips, min(self._small_batch or clips, clips)}:
            encoded = weight.new_zeros(count, frames, weight.shape[1])
            lengths = torch.ones(count, dtype=torch.int64, device=weight.device)
            for trees in (None, self.pack_trees_for([("a",)] * count)):
                if trees or not self._fused:
                    with torch.inference_mode():
                        self._search(encoded, lengths, self._load(trees), None)

    def _warm_up_fused(self, clips: int, frames: int) -> None:
        """Capture and check the fused search, if there is one; without success NeMo's is used from here on."""
        from src.engine.decoder.search_selection import check_search

        if self._fused is None:
            return
        try:
            self._fused.reserve(clips, frames)
            check_search(self._fused, self._scorer, self._joint.enc.weight.shape[1])
            return
        except Exception as error:  # if the device is lost, NeMo's search fails too
            log.warning("The decoder runs on NeMo's search, which is slower: %s", one_line(error))
        self._fused = None

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
        import torch

        with torch.inference_mode():
            frames = encoded.transpose(1, 2)
            scored = self._decode(frames, lengths, self._load(trees), None, max_kept_tokens(frames.shape[1]))
            hypotheses, _ = self._read([scored])
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

        first, second = spans_at_once(steps), spans_after(steps)
        if not first:
            return [StepResult((), step.decoder_state) for step in steps]
        rows = {span.step: row for row, span in enumerate(first)}
        with torch.inference_mode():
            windows = _Windows(encoded.transpose(1, 2), lengths, self._load(trees))
            starts = self._states.from_host([steps[span.step].decoder_state for span in first])
            searches = [self._decode_spans(windows, first, starts)]
            ends = self._states.pack(searches[0].after, len(first))
            if second:
                [numbers] = to_device([[rows[span.step] for span in second]], self._device)
                searches.append(self._decode_spans(windows, second, ends[numbers]))
            hypotheses, [states] = self._read(searches, [ends])
        chunks, lookaheads = self._tokens_of_spans(steps, [*first, *second], hypotheses)
        return [
            StepResult(
                chunks.get(number, ()),
                states[rows[number]].copy() if number in chunks else step.decoder_state,
                lookaheads.get(number, ()),
            )
            for number, step in enumerate(steps)
        ]

    def _load(self, trees: PackedTrees | None) -> "torch.Tensor | None":
        """Make the boosting trees of a batch ready; return the number of each clip's tree, (clips,) int64."""
        return self._biasing.load(trees) if trees else None

    def _decode_spans(self, windows: _Windows, spans: Sequence[FrameSpan], starts: "torch.Tensor | None") -> _Scored:
        """Decode frames of the windows, each from the state in its row of `starts`; None if all begin anew."""
        steps, frames, lengths = _cut(windows, spans)
        tree_ids = None if windows.tree_ids is None else windows.tree_ids[steps]
        before = None if starts is None else self._states.unpack(starts, with_keywords=tree_ids is not None)
        return self._decode(frames, lengths, tree_ids, before)

    def _decode(
        self,
        frames: "torch.Tensor",
        lengths: "torch.Tensor",
        tree_ids: "torch.Tensor | None",
        before: BatchedState | None,
        tokens: int | None = None,
    ) -> _Scored:
        """Search `frames`, (clips, frames, width), from the state `before` on, and score the tokens.

        The fused search returns rows for `tokens` of each clip, None for as many as there can be: a search after this
        one overwrites those that are left out. NeMo's search returns rows for `max_kept_tokens`.
        """
        if self._fused is not None and tree_ids is None:
            found = self._fused(frames, lengths, before)
            return _Scored(found.rows(tokens), found.rows, found.after)
        search = self._search(frames, lengths, tree_ids, before)

        def rows_of(tokens: int) -> "torch.Tensor":
            return self._score_anew(search, tokens)

        if search.kept is None:
            rows = rows_of(int(search.found.current_lengths[: len(frames)].max()))
        else:  # the device works in order, so it has read the outputs before another search overwrites them
            rows = self._scorer.pack(frames, search.found, search.kept, before)
        return _Scored(rows, rows_of, search.after)

    def _search(
        self,
        frames: "torch.Tensor",
        lengths: "torch.Tensor",
        tree_ids: "torch.Tensor | None",
        before: BatchedState | None,
    ) -> _Search:
        """Search `frames`, (clips, frames, width), from the state `before` on with NeMo's computer for this batch."""
        computer = (self._plain if tree_ids is None else self._boosting).for_batch(len(frames))
        found, after = computer(x=frames, out_len=lengths, prev_batched_state=before, multi_biasing_ids=tree_ids)
        kept = kept_outputs(computer, len(frames), max_kept_tokens(frames.shape[1]))
        return _Search(frames, before, found, after, kept)

    def _score_anew(self, search: _Search, tokens: int) -> "torch.Tensor":
        """Score up to `tokens` tokens of each clip by another pass of the prediction network over them."""
        outputs = self._scorer.prednet_outputs(search.found, len(search.frames), max(1, tokens), search.before)
        return self._scorer.pack(search.frames, search.found, outputs, search.before)

    def _read(
        self, searches: Sequence[_Scored], others: Sequence["torch.Tensor"] = ()
    ) -> tuple[list[Hypothesis], list[NDArray[Any]]]:
        """Wait once for the device; return the tokens of all clips of all searches, and other tensors as arrays."""
        arrays = to_host([*(each.rows for each in searches), *others])
        hypotheses: list[Hypothesis] = []
        for search, rows in zip(searches, arrays, strict=False):
            if (tokens := int(rows[:, 0].max())) > max_tokens(rows):  # more than expected of so many frames
                [rows] = to_host([search.rows_of(tokens)])
            hypotheses += map(unpack, rows)
        return hypotheses, arrays[len(searches) :]

    def _tokens_of_spans(
        self, steps: Sequence[StreamStep], spans: Sequence[FrameSpan], hypotheses: Sequence[Hypothesis]
    ) -> tuple[dict[int, tuple[Token, ...]], dict[int, tuple[Token, ...]]]:
        """Return the tokens of the chunks and those of the lookaheads, by the number of the step."""
        chunks: dict[int, tuple[Token, ...]] = {}
        lookaheads: dict[int, tuple[Token, ...]] = {}
        for span, hypothesis in zip(spans, hypotheses, strict=True):
            step = steps[span.step]
            first_frame = step.start_frame - step.skip_frames + span.first
            found = lookaheads if span.is_lookahead else chunks
            found[span.step] = self._tokens(hypothesis, first_frame, step.end_s)
        return chunks, lookaheads

    def _tokens(self, hypothesis: Hypothesis, first_frame: int, end_s: float) -> tuple[Token, ...]:
        """Return tokens with times in seconds, none after `end_s`; their frames count from `first_frame`."""
        # Times never overlap in the search, but rounding may give another duration than the search went by.
        ends = hypothesis.ends.copy()
        np.minimum(ends[:-1], hypothesis.starts[1:], out=ends[:-1])
        ids = hypothesis.ids.tolist()
        pieces = [self._pieces[id] for id in ids]
        # Column by column, as a batch has thousands of tokens, and Python makes them while the GPU waits.
        starts_s, ends_s = (
            np.minimum((first_frame + frames) * FRAME_SECONDS, end_s).tolist() for frames in (hypothesis.starts, ends)
        )
        return tuple(starmap(Token, zip(ids, pieces, starts_s, ends_s, hypothesis.logprobs.tolist(), strict=True)))


def _cut(windows: _Windows, spans: Sequence[FrameSpan]) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Return the frames of spans: each one's step, (spans,), its frames, (spans, frames, width), and their number."""
    import torch

    longest = windows.frames.shape[1]
    numbers = [[span.step for span in spans], [span.first for span in spans], [span.frames for span in spans]]
    steps, firsts, counts = to_device(numbers, windows.frames.device)
    indices = firsts.unsqueeze(1) + torch.arange(min(longest, max(numbers[2])), device=windows.frames.device)
    frames = windows.frames[steps.unsqueeze(1), indices.clamp(max=longest - 1)]
    return steps, frames, counts.minimum(windows.lengths[steps] - firsts).clamp(min=0)
