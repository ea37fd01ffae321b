"""The steps of the encoder that a device may have fused kernels for, and their implementation in plain PyTorch.

An implementation must neither wait for the device nor copy anything from the host, so that the encoder can be captured
in a CUDA graph. This file loads torch; it is imported when a model is loaded.
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
"""The attention score of a masked key. It is finite, so that a padded query, which sees no key, gives no NaN; and it
fits float16, whose range ends at 65,504."""
QUERY_BLOCK = 256
"""Frames of local attention that plain PyTorch computes at a time; with the usual context of 128 they see 512."""


@dataclass(frozen=True)
class DepthwiseConv:
    """The weights of a convolution with one input channel per output channel, in the layouts of implementations."""

    weight: Tensor
    """(channels, 1, taps) or (channels, 1, 3, 3), as PyTorch's convolutions take it."""
    weight_by_tap: Tensor
    """(taps, channels), contiguous: the same numbers; the taps of 3 x 3 are in row-major order, (frame, band)."""
    bias: Tensor
    """(channels,)."""


@dataclass(frozen=True)
class RelativePositions:
    """The relative positions of one attention layer: distances of keys from a query, from `reach` - 1 down to -`reach`.

    Column j has the distance `reach` - 1 - j, so query q and key k meet in column `reach` - 1 - q + k.
    """

    encodings: Tensor
    """(heads, 2 * reach, head): the projected encodings, divided by the square root of the head's width. A view of a
    larger table, whose stride the first dimension has."""
    shift: Tensor
    """(heads * head,): added to a query for positions, it gives the query for contents."""


@dataclass(frozen=True)
class AttentionBlock:
    """A block of queries that attend together, and the keys that the context lets any of them see."""

    queries: slice
    keys: slice
    masked: Tensor
    """Bool, broadcast over (clips, heads, queries, keys): the key is padding or outside the query's context."""


@dataclass(frozen=True)
class BatchLayout:
    """The layout of a batch of frames: `clips` times `frames` rows, one clip after the other."""

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
        return self._positions >= self.counts[:, None]

    @cached_property
    def blocks(self) -> Sequence[AttentionBlock]:
        """The blocks of attention: one if attention is full or the clips are short."""
        if self.context is None or self.frames <= QUERY_BLOCK + 2 * self.context:
            return [self._block(slice(0, self.frames), slice(0, self.frames))]
        return list(self._banded(self.context))

    @cached_property
    def _positions(self) -> Tensor:
        return torch.arange(self.frames, device=self.counts.device)

    def _banded(self, context: int) -> Iterator[AttentionBlock]:
        for start in range(0, self.frames, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, self.frames)
            yield self._block(slice(start, stop), slice(max(0, start - context), min(stop + context, self.frames)))

    def _block(self, queries: slice, keys: slice) -> AttentionBlock:
        masked = self.is_padding[:, None, None, keys]
        if self.context is not None:
            masked = masked | ((self._positions[queries, None] - self._positions[None, keys]).abs() > self.context)
        return AttentionBlock(queries, keys, masked)


class Operations(Protocol):
    """The steps that a device may have its own kernels for. Tensors have the weights' dtype unless another is named."""

    name: str
    """Name for the log."""

    def subsample_features(self, x: Tensor, counts: Tensor, first: DepthwiseConv, conv: DepthwiseConv) -> Tensor:
        """Return `subsample_step` of the convolution of features by `first`, 3 x 3 with stride 2 and padding 1.

        `x` is (clips, frames, mels) float32 in any memory layout; frames beyond `counts`, (clips,) int64, are 0.
        Returns (clips, frames / 4, mels / 4, channels), each size rounded up, contiguous.
        """

    def subsample_step(self, x: Tensor, counts: Tensor, conv: DepthwiseConv) -> Tensor:
        """Return the depthwise 3 x 3 convolution of relu(x), with stride 2 and padding 1 in both dimensions.

        `x` is (clips, frames, bands, channels), contiguous, and may be overwritten; frames beyond `counts`, (clips,)
        int64, count as 0. Returns (clips, ceil(frames / 2), ceil(bands / 2), channels), contiguous.
        """

    def convolve(self, x: Tensor, conv: DepthwiseConv, layout: BatchLayout) -> Tensor:
        """Return silu of the depthwise convolution of glu(x) along the frames, centred on each frame.

        `x` is (clips * frames, 2 * width), contiguous: values, then gates. glu(x) counts as 0 in padded frames.
        Returns (clips * frames, width), contiguous.
        """

    def attend(self, qkv: Tensor, heads: int, positions: RelativePositions, layout: BatchLayout) -> Tensor:
        """Return the output of attention with relative positions, (clips * frames, width), contiguous.

        `qkv` is (clips * frames, 3 * width), contiguous: queries for positions, keys, values, each of `heads` heads.
        The score of query q and key k is (q + shift) . k / sqrt(head) + q . encodings[column]. Keys that are padding or
        outside the context have no weight. Padded queries give any finite numbers.
        """


class PlainOperations:
    """The steps in PyTorch's own operations."""

    name = "plain PyTorch"

    def subsample_features(self, x: Tensor, counts: Tensor, first: DepthwiseConv, conv: DepthwiseConv) -> Tensor:
        """See `Operations`."""
        x = x.to(first.weight.dtype).unsqueeze(1)
        x = F.conv2d(x, first.weight, first.bias, stride=2, padding=1).permute(0, 2, 3, 1).contiguous()
        return self.subsample_step(x, (counts + 1) // 2, conv)

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
        # A 2D convolution of an image one row high: only there PyTorch keeps the channels last, without copies.
        x = F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, padding=(0, taps // 2), groups=channels)
        return F.silu(x, inplace=True).permute(0, 2, 3, 1).reshape(-1, channels)

    def attend(self, qkv: Tensor, heads: int, positions: RelativePositions, layout: BatchLayout) -> Tensor:
        """See `Operations`."""
        rows, width = qkv.shape[0], qkv.shape[1] // 3
        # The position scores are one product for each head, over all frames of all clips.
        queries = qkv[:, :width]
        by_distance = torch.bmm(queries.view(rows, heads, -1).transpose(0, 1), positions.encodings.transpose(1, 2))
        q = (queries + positions.shift).view(layout.clips, layout.frames, heads, -1).transpose(1, 2)
        _, k, v = qkv.view(layout.clips, layout.frames, 3, heads, -1).permute(2, 0, 3, 1, 4)
        attended = [
            F.scaled_dot_product_attention(
                q[:, :, block.queries],
                k[:, :, block.keys],
                v[:, :, block.keys],
                attn_mask=torch.where(block.masked, layout.masked_score, _shifted(by_distance, block, layout)),
            )
            for block in layout.blocks
        ]
        joined = attended[0] if len(attended) == 1 else torch.cat(attended, dim=2)
        return joined.transpose(1, 2).reshape(rows, width)


def _shifted(by_distance: Tensor, block: AttentionBlock, layout: BatchLayout) -> Tensor:
    """Return a block's position scores, (clips, heads, queries, keys), as a view of `by_distance`.

    `by_distance` is (heads, clips * frames, 2 * reach). The view steps one column less per row, which shifts the scores
    into place. Where query and key are out of each other's reach, it has the score of another pair of the same clip.
    """
    heads, _, columns = by_distance.shape
    queries, keys = block.queries, block.keys
    clip_stride = layout.frames * columns
    return by_distance.as_strided(
        (layout.clips, heads, queries.stop - queries.start, keys.stop - keys.start),
        (clip_stride, layout.clips * clip_stride, columns - 1, 1),
        by_distance.storage_offset() + queries.start * (columns - 1) + columns // 2 - 1 + keys.start,
    )


def taps_first(weight: Tensor) -> Tensor:
    """Return depthwise weights, (channels, 1, ...), as (taps, channels), contiguous."""
    return weight.reshape(weight.shape[0], math.prod(weight.shape[1:])).t().contiguous()
