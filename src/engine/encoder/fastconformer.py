"""The FastConformer encoder of the Parakeet family, for inference: NeMo's arithmetic in fewer passes over memory.

The encoder is built from the float32 weights of NeMo's `ConformerEncoder`, before they are cast:

- batch normalisation is folded into the convolution before it, and the input's scale into the projection before it;
- queries, keys and values are one product;
- positions are projected when the encoder is loaded (`positions.py`) and shifted by a view;
- masks are made once per batch;
- the products add the residuals themselves.

Frames are rows, (clips * frames, width), with the channels last.

A pass neither waits for the device nor copies anything from the host, and its shapes depend only on those of its input,
so it can be captured in a CUDA graph. Padding changes real frames by no more than rounding. This file loads torch; it
is imported when a model is loaded.
"""

from typing import Any

import torch
import torch.nn.functional as F

from src.engine.encoder.buckets import ALIGNMENT, aligned
from src.engine.encoder.modules import Layer
from src.engine.encoder.nemo_weights import NemoWeights
from src.engine.encoder.operations import (
    MASKED_SCORE,
    BatchLayout,
    Operations,
    PlainOperations,
    RelativePositions,
)
from src.engine.encoder.positions import PositionTables
from src.engine.frames import FEATURES_PER_FRAME

Tensor = torch.Tensor

MAX_TABLE_FRAMES = 1504
"""Limit on the distances that are projected when an encoder is loaded: those of 120 s. With full attention and the
published shape they take 148 MB in bfloat16."""
MAX_CONVOLVED = {"cuda": 2**31 - 1, "cpu": 2**21}
"""Limit on the numbers that the first convolution outputs at a time, by the type of device. PyTorch's convolutions on a
GPU have counted them in 32 bits (pytorch/pytorch#80020). On a CPU more do not fit the caches: a clip of 120 s in one
piece took 1.2 times as long."""


class FastConformerEncoder:
    """The encoder on `device` with weights of `dtype`, built from a NeMo encoder that `unsupported_reason` accepts.

    Args:
        encoder: NeMo's encoder, in float32 and evaluation mode.
        context: frames that attention sees to each side, None for all.
        longest: frames of the longest clips to expect; longer clips cost more time, but no permanent memory.
        operations: implementation of the steps that a device may have kernels for; None for plain PyTorch.
        alignment: the number of frames is padded to a multiple of it. On a GPU, PyTorch's fused attention copies a mask
            whose rows are not multiples of 8.
        pieces: number of pieces in time that the subsampling convolutions split their input into: 1 means as many as
            suit the device, -1 means one. (These are the values of NeMo's `subsampling_conv_chunking_factor`.)
    """

    def __init__(
        self,
        encoder: Any,
        device: torch.device,
        dtype: torch.dtype,
        *,
        context: int | None = None,
        longest: int = MAX_TABLE_FRAMES,
        operations: Operations | None = None,
        alignment: int = ALIGNMENT,
        pieces: int = 1,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.width: int = encoder.d_model
        self.context = context
        self.heads: int = encoder.layers[0].self_attn.h
        self._alignment = alignment
        self._pieces = pieces
        self.operations: Operations = operations or PlainOperations()
        # Made once, as otherwise each pass would copy it to the device.
        self._masked_score = torch.tensor(MASKED_SCORE, dtype=dtype, device=device)
        weights = NemoWeights(device, dtype)
        self._subsampling = weights.subsampling(encoder)
        self._layers = [weights.layer(layer) for layer in encoder.layers]
        reach = longest if context is None else min(longest, context + 1)
        table = min(MAX_TABLE_FRAMES, aligned(reach))
        self._positions = PositionTables([layer.self_attn for layer in encoder.layers], table, device, dtype)

    def __call__(self, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        `features` is (clips, mels, frames) float32 and `counts` the number of real frames of each clip, (clips,) int64;
        the other frames must be 0. Returns (clips, frames, width), with an eighth as many frames, rounded up to the
        alignment, and their number of real frames, (clips,) int64. The other frames have any finite values.
        """
        x = self._subsample(features.transpose(1, 2), counts)
        for _ in range(1 + len(self._subsampling.steps)):
            counts = _half_counts(counts)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self._alignment))
        clips, frames, width = x.shape
        context = self.context if self.context is not None and frames > self.context + 1 else None
        reach = frames if context is None else min(frames, aligned(context + 1, self._alignment))
        layout = BatchLayout(clips, frames, counts, context, self._masked_score)
        rows = x.reshape(-1, width)
        for layer, positions in zip(self._layers, self._positions.up_to(reach), strict=True):
            rows = self._run_layer(layer, rows, positions, layout)
        return rows.view(clips, frames, width), counts

    def _subsample(self, x: Tensor, counts: Tensor) -> Tensor:
        """Reduce (clips, frames, mels) to (clips, ceil(frames / 8), width), in pieces if necessary."""
        size = self._piece_frames(x)
        if size >= x.shape[1]:
            return self._subsample_piece(x, counts)
        pieces = []
        for start in range(0, x.shape[1], size):
            # A frame of the encoder sees 7 frames of features before its own eight, and none after them.
            margin = min(start, FEATURES_PER_FRAME)
            piece = x[:, start - margin : start + size]
            convolved = self._subsample_piece(piece, (counts - (start - margin)).clamp_(min=0))
            pieces.append(convolved[:, margin // FEATURES_PER_FRAME :])
        return torch.cat(pieces, dim=1)

    def _piece_frames(self, x: Tensor) -> int:
        """Return how many frames of features the convolutions take at a time, a multiple of eight."""
        clips, total, bands = x.shape
        if self._pieces != 1:
            return aligned(total // max(1, self._pieces) + 1, FEATURES_PER_FRAME)
        # Numbers that the first convolution outputs for two frames of features, which it reduces to one.
        per_two_frames = clips * _half_up(bands) * self._subsampling.first.bias.shape[0]
        frames = 2 * (MAX_CONVOLVED[self.device.type] // per_two_frames)
        return max(FEATURES_PER_FRAME, frames // FEATURES_PER_FRAME * FEATURES_PER_FRAME - FEATURES_PER_FRAME)

    def _subsample_piece(self, x: Tensor, counts: Tensor) -> Tensor:
        weights = self._subsampling
        second, *others = weights.steps
        x = second.pointwise(self.operations.subsample_features(x, counts, weights.first, second.depthwise))
        counts = _half_counts(counts)
        for step in others:
            counts = _half_counts(counts)
            x = step.pointwise(self.operations.subsample_step(x, counts, step.depthwise))
        return weights.out(x.relu_().flatten(2))

    def _run_layer(self, layer: Layer, x: Tensor, positions: RelativePositions, layout: BatchLayout) -> Tensor:
        """Return the output of one layer for rows `x`, which are overwritten."""
        layer.first_feed_forward.add_to(x)
        qkv = layer.qkv(layer.attention_norm(x))
        layer.attention_out.add_to(x, self.operations.attend(qkv, self.heads, positions, layout))
        gated = layer.convolution_in(layer.convolution_norm(x))
        layer.convolution_out.add_to(x, self.operations.convolve(gated, layer.depthwise, layout))
        layer.second_feed_forward.add_to(x)
        return layer.norm(x)


def _half_up(size: int) -> int:
    """Return the output size of a convolution of stride 2."""
    return (size + 1) // 2


def _half_counts(counts: Tensor) -> Tensor:
    """Return the number of frames that a convolution of stride 2 outputs for each count."""
    return (counts + 1) // 2
