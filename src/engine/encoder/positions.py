"""Relative position encodings, projected for each attention layer once, when the encoder is loaded.

NeMo projects them in each pass of each layer. This file loads torch; it is imported when a model is loaded.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from src.engine.encoder.operations import RelativePositions

Tensor = torch.Tensor


class PositionTables:
    """The projected encodings of distances up to `reach` frames, for NeMo's relative attention layers in float32.

    Each layer's table has 2 * `reach` * width numbers of `dtype`. Larger distances are projected when they are needed,
    which costs time but no permanent memory.
    """

    def __init__(self, layers: Sequence[Any], reach: int, device: torch.device, dtype: torch.dtype) -> None:
        self._reach = reach
        self._heads: int = layers[0].h
        self._dtype = dtype
        self._projections = [layer.linear_pos.weight.detach().to(device, dtype) for layer in layers]
        shifts = [(layer.pos_bias_u - layer.pos_bias_v).detach().flatten() for layer in layers]
        self._shifts = [shift.to(device, dtype) for shift in shifts]
        encodings = sinusoids(reach, layers[0].linear_pos.in_features, device)
        self._tables = [
            self._projected(encodings, layer.linear_pos.weight.detach().to(device), shift)
            for layer, shift in zip(layers, self._shifts, strict=True)
        ]

    def up_to(self, reach: int) -> Iterator[RelativePositions]:
        """Yield each layer's relative positions for the distances from `reach` - 1 down to -`reach`."""
        if reach > self._reach:
            encodings = sinusoids(reach, self._projections[0].shape[1], self._projections[0].device)
            for weight, shift in zip(self._projections, self._shifts, strict=True):
                yield self._projected(encodings, weight.float(), shift)
            return
        near = slice(self._reach - reach, self._reach + reach)
        for table in self._tables:
            yield RelativePositions(table.encodings[:, near], table.shift)

    def _projected(self, encodings: Tensor, weight: Tensor, shift: Tensor) -> RelativePositions:
        """Project encodings, (distances, width) float32, by a float32 weight on the same device."""
        head = weight.shape[0] // self._heads
        projected = (encodings @ weight.t()).div_(math.sqrt(head)).view(-1, self._heads, head)
        rounded = projected.transpose(0, 1).to(self._dtype).contiguous()
        return RelativePositions(rounded, shift)


def sinusoids(reach: int, width: int, device: torch.device) -> Tensor:
    """Return the encodings of the distances from `reach` - 1 down to -`reach`, (2 * reach, width) float32.

    They are those of NeMo's `PositionalEncoding.create_pe`.
    """
    distances = torch.arange(reach - 1, -reach - 1, -1, dtype=torch.float32, device=device).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=device) * -(math.log(10_000.0) / width))
    encodings = torch.empty(2 * reach, width, device=device)
    encodings[:, 0::2] = torch.sin(distances * rates)
    encodings[:, 1::2] = torch.cos(distances * rates)
    return encodings
