"""Greedy TDT search in few kernels: a batch is one product, one launch of a CUDA graph, and one small copy.

NeMo's search (`label_looping.py`) takes some 30 kernels for each frame that it looks at, and a turn of a nested loop
waits for the slowest clip. Of 128 clips of up to 30 s they take longer than the encoder. Here a step is four kernels,
and each clip goes on at its own pace, so a batch takes as many steps as its slowest clip alone. The tokens and times
are those of NeMo's search; scores are not rounded to the network's dtype before the best one is chosen.

The search has no keywords; batches with keywords, RNN-T models and the CPU keep NeMo's.

This file loads torch and Triton; it is imported when a model is loaded.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import triton

from src.engine.decoder import search_kernels as kernels
from src.engine.decoder.label_looping import BatchedState
from src.engine.decoder.loop_graph import CaptureLoop, Work, capture_loop
from src.engine.decoder.search_weights import COLUMNS, SearchWeights

ROWS = 16
"""Clips of one program: the smallest tile that tensor cores take."""
UNITS = 16
"""LSTM units of one program: a tile of 64 gates. At the published width that is 40 programs for each 16 clips."""
DEPTH = 128
"""How much of a product's inner dimension is taken at a time."""
WARPS = 4
STEPS = 4
"""Steps of one turn of the loop. A turn costs some microseconds besides its steps, so it should have a few; on average
half of the last turn's steps find nothing to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """The tokens of a search, on the device. The next search overwrites them."""

    counts: torch.Tensor
    """The number of tokens of each clip, (clips,) int32."""
    tokens: torch.Tensor
    """(clips, 4, tokens) int32: ids, first frames, frames after the ends, and the bits of float32 log-probabilities;
    undefined past a clip's last token."""
    after: BatchedState
    """The state after the search, without keywords."""

    def rows(self, tokens: int | None) -> torch.Tensor:
        """Return at most so many tokens of each clip as `TokenScorer.pack` does, (clips, 1 + 4 * tokens) int32.

        None is for as many as there can be.
        """
        return torch.cat((self.counts.unsqueeze(1), self.tokens[:, :, :tokens].flatten(1)), dim=1)


class FusedSearch:
    """Greedy search with the kernels of `search_kernels.py`; one thread uses it.

    Args:
        weights: those of the network.
        start: NeMo's state of one clip before its first token.
        capture: makes the search's loop; `run_loop` where there are no CUDA graphs.
    """

    def __init__(self, weights: SearchWeights, start: BatchedState, capture: CaptureLoop = capture_loop) -> None:
        self._weights = weights
        self._start = start
        self._capture = capture
        self._captured: _Captured | None = None

    def reserve(self, clips: int, frames: int) -> None:
        """Make room for batches of so many clips and frames, and capture the search for them.

        Raises:
            Exception: there is too little memory, or the system has no such graphs; the search is as it was.
        """
        self._room_for(clips, frames)

    def __call__(self, frames: torch.Tensor, lengths: torch.Tensor, before: BatchedState | None) -> Found:
        """Search a batch.

        Args:
            frames: the encoder's output, (clips, frames, width).
            lengths: the number of frames of each clip, (clips,) int64.
            before: the state to continue from, None if all clips begin.
        """
        clips, count, width = frames.shape
        memory, begin, resume = self._room_for(clips, count)
        weights = self._weights
        projected = memory.projected[: clips * count]
        torch.addmm(weights.encoder_bias, frames.reshape(-1, width), weights.encoder_weight.t(), out=projected)
        memory.stride.fill_(count)
        memory.lengths.zero_()
        memory.lengths[:clips].copy_(lengths)
        if before is None:
            begin()
        else:
            self._load(memory, before, clips)
            resume()
        results = memory.results[:clips, :, : count * weights.max_repeats]
        return Found(memory.counts[:clips], results, self._state(memory, lengths, before))

    def _room_for(self, clips: int, frames: int) -> "_Captured":
        """Return a captured search with room for so many clips and frames, a new one if the last one has too little."""
        captured = self._captured
        if captured is not None:
            memory = captured.memory
            if clips <= memory.clips and frames <= memory.frames:
                return captured
            clips, frames = max(clips, memory.clips), max(frames, memory.frames)
        with torch.inference_mode():
            self._captured = captured = self._new_capture(-(-clips // ROWS) * ROWS, frames)
        return captured

    def _new_capture(self, clips: int, frames: int) -> "_Captured":
        memory = _Memory.of(self._weights, clips, frames)
        steps = _Steps(self._weights, memory)

        def begin() -> None:
            self._reset(memory)
            steps.look()

        def resume() -> None:
            memory.forget_tokens()
            steps.look()

        for work in (begin, resume, steps.turn):  # compiles the kernels
            work()
        loops = [self._capture(work, memory.is_any_active, steps.turn) for work in (begin, resume)]
        return _Captured(memory, *loops)

    def _reset(self, memory: "_Memory") -> None:
        """Put all clips before their first token."""
        memory.times.zero_()
        memory.predictions.copy_(self._start.predictor_outputs.view(1, -1).expand_as(memory.predictions))
        for target, source in zip((memory.hidden, memory.cell), self._start.predictor_states, strict=True):
            target.copy_(source.expand_as(target))
        memory.forget_tokens()

    def _load(self, memory: "_Memory", before: BatchedState, clips: int) -> None:
        """Put clips into the state that another search has left."""
        assert before.time_jumps is not None, "the model is TDT"
        memory.times[:clips].copy_(before.time_jumps[:clips])
        memory.predictions[:clips].copy_(before.predictor_outputs[:clips, 0])
        for target, source in zip((memory.hidden, memory.cell), before.predictor_states, strict=True):
            target[:, :clips].copy_(source[:, :clips])

    def _state(self, memory: "_Memory", lengths: torch.Tensor, before: BatchedState | None) -> BatchedState:
        """Return the state after the search; its tensors are those of the search's memory."""
        clips = len(lengths)
        counts = memory.counts[:clips].long()
        last = memory.results[:clips, 0].gather(1, (counts - 1).clamp(min=0).unsqueeze(1)).squeeze(1).long()
        earlier = self._start.labels if before is None else before.labels[:clips]
        state: Any = self._start  # a dataclass
        after: BatchedState = replace(
            state,
            predictor_states=tuple(each[:, :clips] for each in (memory.hidden, memory.cell)),
            predictor_outputs=memory.predictions[:clips].unsqueeze(1),
            labels=torch.where(counts > 0, last, earlier),
            decoded_lengths=lengths if before is None else lengths + before.decoded_lengths[:clips],
            time_jumps=memory.times[:clips] - lengths,
            fusion_states_list=[],
        )
        return after


class _Captured(NamedTuple):
    """A search for batches up to a size."""

    memory: "_Memory"
    begin: Work
    """Searches from the state before the first token."""
    resume: Work
    """Searches from the state in the memory."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """The tensors of a search, at fixed addresses, with a row for each clip. The kernels say what each holds."""

    frames: int
    """The longest clip."""
    stride: torch.Tensor
    lengths: torch.Tensor
    projected: torch.Tensor
    times: torch.Tensor
    repeats: torch.Tensor
    counts: torch.Tensor
    predictions: torch.Tensor
    hidden: torch.Tensor
    """(layers, clips, hidden); so are the next two."""
    cell: torch.Tensor
    new_hidden: torch.Tensor
    tile_max: torch.Tensor
    tile_argmax: torch.Tensor
    tile_sum: torch.Tensor
    tokens: torch.Tensor
    jumps: torch.Tensor
    logprobs: torch.Tensor
    results: torch.Tensor
    is_any_active: torch.Tensor

    @property
    def clips(self) -> int:
        """The largest batch."""
        return len(self.lengths)

    def forget_tokens(self) -> None:
        """Put the count of tokens back, as a new search begins."""
        self.counts.zero_()
        self.repeats.zero_()

    @classmethod
    def of(cls, weights: SearchWeights, clips: int, frames: int) -> "_Memory":
        """Return memory for a number of clips, a multiple of `ROWS`, and of frames."""
        like = weights.score_weight

        def integers(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=like.device)

        states = (len(weights.layers), clips, weights.hidden)
        tiles = (clips, weights.token_tiles + 1)
        return cls(
            frames=frames,
            stride=integers(1),
            lengths=integers(clips),
            projected=like.new_empty(clips * frames, weights.width),
            times=integers(clips),
            repeats=integers(clips),
            counts=integers(clips),
            predictions=like.new_zeros(clips, weights.width),
            hidden=like.new_zeros(states),
            cell=like.new_zeros(states),
            new_hidden=like.new_zeros(states),
            tile_max=torch.zeros(tiles, device=like.device),
            tile_argmax=integers(*tiles),
            tile_sum=torch.zeros(tiles, device=like.device),
            tokens=integers(clips),
            jumps=integers(clips),
            logprobs=torch.zeros(clips, device=like.device),
            results=integers(clips, 4, frames * weights.max_repeats),  # as many tokens as there can be
            is_any_active=torch.zeros(1, dtype=torch.bool, device=like.device),
        )


class _Steps:
    """Launches the kernels of the search's steps."""

    def __init__(self, weights: SearchWeights, memory: _Memory) -> None:
        self._weights = weights
        self._memory = memory
        self._row_tiles = memory.clips // ROWS

    def turn(self) -> None:
        """Do some steps, then look whether any clip has frames left."""
        for _ in range(STEPS):
            self._score()
            self._choose()
            for number in range(1, len(self._weights.layers)):
                self._run_layer(number)
            self._advance()
        self.look()

    def look(self) -> None:
        """Write whether any clip has frames left."""
        m = self._memory
        block = triton.next_power_of_2(m.clips)
        kernels.find_active[(1,)](m.times, m.lengths, m.is_any_active, CLIPS=m.clips, BLOCK=block, num_warps=1)

    def _score(self) -> None:
        m, w = self._memory, self._weights
        tensors = (m.projected, m.stride, m.times, m.lengths, m.predictions, w.score_weight, w.score_bias)
        tiles = (m.tile_max, m.tile_argmax, m.tile_sum)
        self._launch(kernels.score_tokens, w.token_tiles + 1, *tensors, *tiles, WIDTH=w.width, COLUMNS=COLUMNS)

    def _choose(self) -> None:
        m, w = self._memory, self._weights
        tiles = (m.tile_max, m.tile_argmax, m.tile_sum)
        chosen = (w.durations, m.tokens, m.jumps, m.logprobs)
        layer = (w.embeddings, w.layers[0].weight, m.hidden[0], m.cell[0], m.new_hidden[0])
        sizes = {"BLANK": w.blank, "TILES": w.token_tiles, "BLOCK": triton.next_power_of_2(w.token_tiles)}
        sizes |= {"COLUMNS": COLUMNS, "HIDDEN": w.hidden, "UNITS": UNITS}
        self._launch(kernels.choose_token, -(-w.hidden // UNITS), m.times, m.lengths, *tiles, *chosen, *layer, **sizes)

    def _run_layer(self, number: int) -> None:
        m, w = self._memory, self._weights
        layer = w.layers[number]
        below = (m.hidden[number - 1], m.new_hidden[number - 1], layer.weight_below)
        own = (layer.bias, layer.weight, m.hidden[number], m.cell[number], m.new_hidden[number])
        sizes = {"HIDDEN": w.hidden, "UNITS": UNITS}
        self._launch(kernels.run_layer, -(-w.hidden // UNITS), m.tokens, *below, *own, **sizes)

    def _advance(self) -> None:
        m, w = self._memory, self._weights
        clips = (m.tokens, m.jumps, m.logprobs, m.times, m.repeats, m.counts, m.results, m.results.shape[2])
        layer = (w.output_weight, w.output_bias, m.hidden[-1], m.new_hidden[-1], m.predictions)
        sizes = {"MAX_REPEATS": w.max_repeats, "WIDTH": w.width, "HIDDEN": w.hidden, "COLUMNS": UNITS}
        columns = max(w.width, w.hidden)
        self._launch(kernels.advance, -(-columns // UNITS), *clips, *layer, **sizes)

    def _launch(self, kernel: Any, column_tiles: int, *arguments: Any, **sizes: int) -> None:
        """Launch a kernel's programs; `sizes` are compile-time constants, to which those of every kernel are added."""
        kernel[column_tiles, self._row_tiles](*arguments, **sizes, DEPTH=DEPTH, ROWS=ROWS, num_warps=WARPS)
