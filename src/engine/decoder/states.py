"""Decoder states as rows of bytes, so that those of a batch come to the host and go to the device in one copy each.

NeMo's state of a batch is a handful of tensors, and NeMo splits it into one state for each clip and joins such states
tensor by tensor: some 200 small operations for a batch of 32. Here the state of an utterance is one row. Between
two steps the rows wait on the host, where each is a small array of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from src.engine.decoder.label_looping import BatchedState
from src.engine.transfers import to_host

if TYPE_CHECKING:
    import torch

StateRow = NDArray[np.uint8]
"""The decoder state of one utterance, (bytes,)."""

_INTEGERS = 3
"""Integers at the beginning of a row: the last token, the frames decoded and the jump. The places follow: where the
utterance is in each of the checkpoint's own language models and boosting trees, and in the tree of its keywords."""


class StateRows:
    """Packs NeMo's batched states as rows and unpacks them.

    Args:
        start: NeMo's state of one clip before its first token, from a computer with room for keywords.
    """

    def __init__(self, start: BatchedState) -> None:
        self._start = start
        self._shapes = [each.shape[1:] for each in _floats(start)]
        self._places = len(start.fusion_states_list)
        self._start_row = self.pack(start, 1)
        [self._start_on_host] = to_host([self._start_row])

    def pack(self, state: BatchedState, clips: int) -> "torch.Tensor":
        """Return the states of the first `clips` clips, (clips, bytes) uint8 on their device.

        A state from a computer without keywords has no place in a tree of keywords; it gets the root's.
        """
        import torch

        places = list(state.fusion_states_list)
        roots = self._start.fusion_states_list[len(places) :]  # of the keywords, which are the last
        places += [root.expand(len(state.labels)) for root in roots]
        jumps = state.labels if state.time_jumps is None else state.time_jumps  # an RNN-T has no jumps
        integers = torch.stack([state.labels, state.decoded_lengths, jumps, *places], dim=1)[:clips]
        floats = torch.cat([each[:clips].flatten(1) for each in _floats(state)], dim=1)
        floats = floats.to(self._start.predictor_outputs.dtype)
        return torch.cat([integers.view(torch.uint8), floats.view(torch.uint8)], dim=1)

    def unpack(self, rows: "torch.Tensor", *, with_keywords: bool) -> BatchedState:
        """Return NeMo's state of the clips of `rows`, (clips, bytes), for a computer with or without keywords."""
        import torch

        first_float = (_INTEGERS + self._places) * torch.int64.itemsize
        integers = _copy(rows[:, :first_float]).view(torch.int64)
        # Without gaps, as the kernel of the boosting trees reads places one after the other.
        labels, decoded_lengths, jumps, *places = integers.t().contiguous().unbind(0)
        floats = _copy(rows[:, first_float:]).view(self._start.predictor_outputs.dtype)
        pieces = torch.split(floats, [shape.numel() for shape in self._shapes], dim=1)
        outputs, *states = (piece.view(-1, *shape) for piece, shape in zip(pieces, self._shapes, strict=True))
        state: Any = self._start  # a dataclass
        unpacked: BatchedState = replace(
            state,
            labels=labels,
            decoded_lengths=decoded_lengths,
            time_jumps=None if self._start.time_jumps is None else jumps,
            fusion_states_list=places if with_keywords else places[:-1],
            predictor_outputs=outputs,
            predictor_states=tuple(each.movedim(0, 1).contiguous() for each in states),
        )
        return unpacked

    def from_host(self, rows: Sequence[StateRow | None]) -> "torch.Tensor | None":
        """Return the rows of a batch's utterances on the device, None for one that begins; None if all begin."""
        if all(row is None for row in rows):
            return None
        import torch

        device = self._start_row.device
        data = torch.empty((len(rows), self._start_row.shape[1]), dtype=torch.uint8, pin_memory=device.type == "cuda")
        filled = [self._start_on_host[0] if row is None else row for row in rows]
        np.stack(filled, out=data.numpy())
        return data.to(device, non_blocking=True)


def _floats(state: BatchedState) -> list["torch.Tensor"]:
    """Return the tensors of floats of a state, the clips in their first dimension."""
    return [state.predictor_outputs, *(each.movedim(1, 0) for each in state.predictor_states)]


def _copy(data: "torch.Tensor") -> "torch.Tensor":
    """Return a copy without gaps, which can be viewed as another dtype."""
    import torch

    return data.clone(memory_format=torch.contiguous_format)
