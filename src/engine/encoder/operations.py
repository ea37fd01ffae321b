"""The three steps of an encoder's pass that a device may have a fused kernel for, and how plain PyTorch does them.

Whoever does them must neither wait for the device nor copy anything from the host, so that a pass can be captured as a
CUDA graph. This file loads torch; it is imported when a model is loaded.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F

Tensor = torch.Tensor

MASKED_SCORE = -30_000.0
"""The score of a key that is not to be seen. It is finite, so that a padded query without any key makes no NaN, and
fits float16, whose range ends at 65,504."""
QUERY_BLOCK = 256
"""Frames whose local attention plain PyTorch computes at a time: with the usual context of 128 they see 512."""


@dataclass(frozen=True)
class DepthwiseConv:
    """The weights of a convolution that treats each channel alone, in both layouts that are in use."""

    weight: Tensor
    """(channels, 1, taps) or (channels, 1, 3, 3), as PyTorch's convolutions take it."""
    weight_by_tap: Tensor
    """(taps, channels), contiguous: the same numbers; the taps of 3 x 3 are in row-major order, (frame, band)."""
    bias: Tensor
    """(channels,)."""


@dataclass(frozen=True)
class RelativePositions:
    """What one layer knows of the distances between a query and a key, from `reach` - 1 down to -`reach`.

    Column j is the distance `reach` - 1 - j, so query q and key k meet in column `reach` - 1 - q + k.
    """

    encodings: Tensor
    """(heads, 2 * reach, head): projected and divided by the square root of the head's width. A view of a larger
    table: its first stride is that table's."""
    shift: Tensor
    """(heads * head,): what is to be added to a query of positions to make it one of contents."""


@dataclass(frozen=True)
class AttentionBlock:
    """Queries that are attended to together, and the keys that the context lets any of them see."""

    queries: slice
    keys: slice
    masked: Tensor
    """Bool, broadcast over (clips, heads, queries, keys): keys that are padding or out of the query's context."""


@dataclass(frozen=True)
class BatchLayout:
    """How the frames of a batch lie: rows of `clips` times `frames`, one clip after the other."""

    clips: int
    frames: int
    counts: Tensor
    """(clips,) int64: the real frames of each clip; the others are padding."""
    context: int | None
    """Frames that a query sees to each side, None for all."""
    masked_score: Tensor
    """A scalar, `MASKED_SCORE`, on the device and of the weights' dtype."""

    @cached_property
    def is_padding(self) -> Tensor:
        """(clips, frames) bool."""
        return self._places >= self.counts[:, None]

    @cached_property
    def blocks(self) -> Sequence[AttentionBlock]:
        """The blocks of attention: one where it is full or the clips are short."""
        if self.context is None or self.frames <= QUERY_BLOCK + 2 * self.context:
            return [self._block(slice(0, self.frames), slice(0, self.frames))]
        return list(self._banded(self.context))

    @cached_property
    def _places(self) -> Tensor:
        return torch.arange(self.frames, device=self.counts.device)

    def _banded(self, context: int) -> Iterator[AttentionBlock]:
        for start in range(0, self.frames, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, self.frames)
            yield self._block(slice(start, stop), slice(max(0, start - context), min(stop + context, self.frames)))

    def _block(self, queries: slice, keys: slice) -> AttentionBlock:
        masked = self.is_padding[:, None, None, keys]
        if self.context is not None:
            masked = masked | ((self._places[queries, None] - self._places[None, keys]).abs() > self.context)
        return AttentionBlock(queries, keys, masked)


class Operations(Protocol):
    """What an encoder leaves to the device's own kernels. All tensors are of the weights' dtype unless it says so."""

    name: str
    """What the log calls them."""

    def subsample_step(self, x: Tensor, counts: Tensor, conv: DepthwiseConv) -> Tensor:
        """Return a 3 x 3 convolution by channel, of stride 2 and padding 1 both ways, of relu(x).

        `x` is (clips, frames, bands, channels), contiguous, and may be written to; its frames from `counts`, (clips,)
        int64, on count as 0. Returns (clips, ceil(frames / 2), ceil(bands / 2), channels), contiguous.
        """

    def convolve(self, x: Tensor, conv: DepthwiseConv, layout: BatchLayout) -> Tensor:
        """Return silu of a convolution over the frames, by channel and as long after as before, of glu(x).

        `x` is (clips * frames, 2 * width), contiguous: values, then gates. glu(x) counts as 0 in padded frames.
        Returns (clips * frames, width), contiguous.
        """

    def attend(self, qkv: Tensor, heads: int, distances: RelativePositions, layout: BatchLayout) -> Tensor:
        """Return what attention with relative positions sees, (clips * frames, width), contiguous.

        `qkv` is (clips * frames, 3 * width), contiguous: queries of positions, keys, values, each of `heads` heads. The
        score of query q and key k is (q + shift) . k / sqrt(head) + q . encodings[column], where that of a key that is
        padding or farther away than the context counts as none. Padded queries get any finite numbers.
        """


class PlainOperations:
    """The steps in PyTorch's own operations."""

    name = "plain PyTorch"

    def subsample_step(self, x: Tensor, counts: Tensor, conv: DepthwiseConv) -> Tensor:
        """See `Operations`."""
        is_padding = torch.arange(x.shape[1], device=x.device) >= counts[:, None]
        x = x.relu_().masked_fill_(is_padding[:, :, None, None], 0.0)
        channels = x.shape[3]
        x = F.conv2d(x.permute(0, 3, 1, 2), conv.weight, conv.bias, stride=2, padding=1, groups=channels)
        return x.permute(0, 2, 3, 1).contiguous()

    def convolve(self, x: Tensor, conv: DepthwiseConv, layout: BatchLayout) -> Tensor:
        """See `Operations`."""
        channels, _, taps = conv.weight.shape
        x = F.glu(x, dim=1).view(layout.clips, 1, layout.frames, channels)
        x = x.masked_fill_(layout.is_padding[:, None, :, None], 0.0).permute(0, 3, 1, 2)
        # As of an image one row high, as PyTorch keeps the channels last in those only: without copies.
        x = F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, padding=(0, taps // 2), groups=channels)
        return F.silu(x, inplace=True).permute(0, 2, 3, 1).reshape(-1, channels)

    def attend(self, qkv: Tensor, heads: int, distances: RelativePositions, layout: BatchLayout) -> Tensor:
        """See `Operations`."""
        rows, width = qkv.shape[0], qkv.shape[1] // 3
        # The scores of positions: one product for each head, over all frames of all clips.
        queries = qkv[:, :width]
        by_distance = torch.bmm(queries.view(rows, heads, -1).transpose(0, 1), distances.encodings.transpose(1, 2))
        q = (queries + distances.shift).view(layout.clips, layout.frames, heads, -1).transpose(1, 2)
        _, k, v = qkv.view(layout.clips, layout.frames, 3, heads, -1).permute(2, 0, 3, 1, 4)
        seen = [
            F.scaled_dot_product_attention(
                q[:, :, block.queries],
                k[:, :, block.keys],
                v[:, :, block.keys],
                attn_mask=torch.where(block.masked, layout.masked_score, _shifted(by_distance, block, layout)),
            )
            for block in layout.blocks
        ]
        joined = seen[0] if len(seen) == 1 else torch.cat(seen, dim=2)
        return joined.transpose(1, 2).reshape(rows, width)


def _shifted(by_distance: Tensor, block: AttentionBlock, layout: BatchLayout) -> Tensor:
    """Return the scores of positions of a block, (clips, heads, queries, keys), as a view.

    `by_distance` is (heads, clips * frames, 2 * reach). The step from a row to the next goes one column less far, which
    is what shifts it. Where query and key are out of each other's reach, the view shows some other pair of its clip.
    """
    heads, _, wide = by_distance.shape
    queries, keys = block.queries, block.keys
    row = layout.frames * wide
    return by_distance.as_strided(
        (layout.clips, heads, queries.stop - queries.start, keys.stop - keys.start),
        (row, layout.clips * row, wide - 1, 1),
        by_distance.storage_offset() + queries.start * (wide - 1) + wide // 2 - 1 + keys.start,
    )


def taps_first(weight: Tensor) -> Tensor:
    """Return a convolution's weights by channel, (channels, 1, ...), as (taps, channels), contiguous."""
    return weight.reshape(weight.shape[0], math.prod(weight.shape[1:])).t().contiguous()
