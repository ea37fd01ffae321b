"""The FastConformer encoder of the Parakeet family, for inference: NeMo's arithmetic in fewer passes over memory.

It is built from the weights of NeMo's `ConformerEncoder` in float32, before they are cast: batch normalisation goes
into the convolution before it, the scale of the input into the projection before it, queries, keys and values are one
product, positions are projected when it is loaded (`positions.py`) and shifted by a view, masks are made once for a
batch, and residuals are added by the products themselves. Frames are rows, (clips * frames, width), channels last.

A pass neither waits for the device nor copies anything from the host, and its shapes follow from those of its input, so
that it can be captured as a CUDA graph. Padding changes no number of a real frame but by rounding. This file loads
torch; it is imported when a model is loaded.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from src.engine.encoder.buckets import ALIGNMENT, aligned
from src.engine.encoder.operations import (
    MASKED_SCORE,
    BatchLayout,
    DepthwiseConv,
    Operations,
    PlainOperations,
    RelativePositions,
    taps_first,
)
from src.engine.encoder.positions import Positions

Tensor = torch.Tensor

SUBSAMPLING = 8
"""Frames of features that make one of the encoder's."""
MAX_TABLE_FRAMES = 1504
"""Distances that are projected when an encoder is loaded, at most: those of 120 s. With full attention and the
published shape they take 148 MB in bfloat16."""
MAX_CONVOLVED = {"cuda": 2**31 - 1, "cpu": 2**21}
"""Numbers that the first convolution puts out at a time, by the kind of device. On a GPU PyTorch's have counted them in
32 bits (pytorch/pytorch#80020); on a CPU more do not fit the caches: a clip of 120 s took 1.2 times as long at once."""


@dataclass(frozen=True)
class Norm:
    """A layer normalisation."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise rows."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class Linear:
    """A linear layer: `weight` is (out, in), `bias` (out,) or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the layer's output for rows."""
        return F.linear(x, self.weight, self.bias)

    def add_to(self, x: Tensor, y: Tensor, factor: float = 1.0) -> None:
        """Add `factor` times the layer's output for `y` to `x`, in place: one product, rounded once."""
        x.addmm_(y, self.weight.t(), alpha=factor)
        if self.bias is not None:
            x.add_(self.bias, alpha=factor)


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward module with its norm, half of which is added to its input."""

    norm: Norm
    inner: Linear
    outer: Linear
    factor: float

    def add_to(self, x: Tensor) -> None:
        """Add the module's output for `x` to it, in place."""
        self.outer.add_to(x, F.silu(self.inner(self.norm(x)), inplace=True), self.factor)


@dataclass(frozen=True)
class Layer:
    """The weights of one Conformer layer, in the order of their use."""

    before: FeedForward
    attention_norm: Norm
    qkv: Linear
    """Of queries, keys and values; the bias of positions is in that of the queries."""
    attention_out: Linear
    convolution_norm: Norm
    gated: Linear
    depthwise: DepthwiseConv
    """With the batch normalisation in it."""
    convolution_out: Linear
    after: FeedForward
    norm: Norm


@dataclass(frozen=True)
class SubsamplingStep:
    """A convolution by channel that halves frames and bands, and the product that mixes the channels."""

    depthwise: DepthwiseConv
    pointwise: Linear


@dataclass(frozen=True)
class Subsampling:
    """The weights of the convolutions that make one frame of eight."""

    first_weight: Tensor
    """(channels, 1, 3, 3), its channels last, as those of the output then are, too."""
    first_bias: Tensor
    steps: tuple[SubsamplingStep, ...]
    out: Linear
    """Takes (bands, channels) as one row; the scale of the encoder's input is in it."""


class FastConformerEncoder:
    """NeMo's encoder, if `unsupported_reason` has nothing against it, on `device` with weights of `dtype`.

    Args:
        encoder: NeMo's, in float32 and evaluation mode.
        context: frames that attention sees to each side, None for all.
        longest: frames of the longest clips to expect; longer ones cost more time, and no more memory to stay.
        operations: what does the steps that a device may have a kernel for.
        alignment: the number of frames is padded to a multiple of it. PyTorch's fused attention on a GPU copies a mask
            whose rows are not multiples of 8.
        pieces: into how many pieces in time the convolutions take their input: 1 as many as suit the device, -1 one.
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
        self._low = torch.tensor(MASKED_SCORE, dtype=dtype, device=device)  # made here, or each pass would copy it
        weights = _Weights(device, dtype)
        self._subsampling = weights.subsampling(encoder)
        self._layers = [weights.layer(layer) for layer in encoder.layers]
        reach = longest if context is None else min(longest, context + 1)
        table = min(MAX_TABLE_FRAMES, aligned(reach))
        self._positions = Positions([layer.self_attn for layer in encoder.layers], table, device, dtype)

    def __call__(self, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        `features` is (clips, mels, frames) float32, `counts` (clips,) int64 the real frames of each; the others must
        be 0. Returns (clips, frames, width), its frames an eighth, rounded up to the alignment, and the counts of real
        ones, (clips,) int64. What lies behind those is any finite number.
        """
        x = self._subsample(features.transpose(1, 2).to(self.dtype), counts)
        for _ in range(1 + len(self._subsampling.steps)):
            counts = _halved(counts)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self._alignment))
        clips, frames, width = x.shape
        context = self.context if self.context is not None and frames > self.context + 1 else None
        reach = frames if context is None else min(frames, aligned(context + 1, self._alignment))
        layout = BatchLayout(clips, frames, counts, context, self._low)
        rows = x.reshape(-1, width)
        for layer, distances in zip(self._layers, self._positions.within(reach), strict=True):
            rows = self._run(layer, rows, distances, layout)
        return rows.view(clips, frames, width), counts

    def _subsample(self, x: Tensor, counts: Tensor) -> Tensor:
        """Return (clips, ceil(frames / 8), width) of (clips, frames, mels), taken in pieces where need be."""
        size = self._piece_frames(x)
        if size >= x.shape[1]:
            return self._convolved(x, counts)
        pieces = []
        for start in range(0, x.shape[1], size):
            # A frame of the encoder's hears 7 frames before its own eight and none behind them.
            margin = min(start, SUBSAMPLING)
            piece = x[:, start - margin : start + size]
            convolved = self._convolved(piece, (counts - (start - margin)).clamp_(min=0))
            pieces.append(convolved[:, margin // SUBSAMPLING :])
        return torch.cat(pieces, dim=1)

    def _piece_frames(self, x: Tensor) -> int:
        """Return how many frames of features the convolutions take at a time, a multiple of eight."""
        clips, frames, bands = x.shape
        if self._pieces != 1:
            return aligned(frames // max(1, self._pieces) + 1, SUBSAMPLING)
        per_frame = clips * _half(bands) * self._subsampling.first_bias.shape[0]  # of two, as the first one halves them
        return max(
            SUBSAMPLING, 2 * (MAX_CONVOLVED[self.device.type] // per_frame) // SUBSAMPLING * SUBSAMPLING - SUBSAMPLING
        )

    def _convolved(self, x: Tensor, counts: Tensor) -> Tensor:
        weights = self._subsampling
        x = F.conv2d(x.unsqueeze(1), weights.first_weight, weights.first_bias, stride=2, padding=1)
        x = x.permute(0, 2, 3, 1).contiguous()
        for step in weights.steps:
            counts = _halved(counts)
            x = step.pointwise(self.operations.subsample_step(x, counts, step.depthwise))
        return weights.out(x.relu_().flatten(2))

    def _run(self, layer: Layer, x: Tensor, distances: RelativePositions, layout: BatchLayout) -> Tensor:
        """Run one layer on rows, which it writes to."""
        layer.before.add_to(x)
        qkv = layer.qkv(layer.attention_norm(x))
        layer.attention_out.add_to(x, self.operations.attend(qkv, self.heads, distances, layout))
        gated = layer.gated(layer.convolution_norm(x))
        layer.convolution_out.add_to(x, self.operations.convolve(gated, layer.depthwise, layout))
        layer.after.add_to(x)
        return layer.norm(x)


class _Weights:
    """Turns NeMo's modules, in float32, into weights of `dtype` on `device`; what need not change is shared."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype

    def subsampling(self, encoder: Any) -> Subsampling:
        conv, out = encoder.pre_encode.conv, encoder.pre_encode.out
        channels = conv[0].out_channels
        scale = encoder.xscale or 1.0
        # NeMo flattens (channels, bands); here the channels come last.
        weight = out.weight.view(encoder.d_model, channels, -1).transpose(1, 2).reshape(encoder.d_model, -1)
        return Subsampling(
            # A copy, as `contiguous` finds one channel in that order already, and then the output is not.
            self._put(conv[0].weight).clone(memory_format=torch.channels_last),
            self._put(conv[0].bias),
            tuple(
                SubsamplingStep(
                    self._depthwise(conv[at].weight, conv[at].bias),
                    self._linear(conv[at + 1].weight[:, :, 0, 0], conv[at + 1].bias),
                )
                for at in range(2, len(conv), 3)
            ),
            self._linear(weight * scale, out.bias * scale),
        )

    def layer(self, layer: Any) -> Layer:
        attention, conv = layer.self_attn, layer.conv
        return Layer(
            before=self._feed_forward(layer.norm_feed_forward1, layer.feed_forward1, layer.fc_factor),
            attention_norm=self._norm(layer.norm_self_att),
            qkv=self._qkv(attention),
            attention_out=self._linear(attention.linear_out.weight, attention.linear_out.bias),
            convolution_norm=self._norm(layer.norm_conv),
            gated=self._linear(conv.pointwise_conv1.weight[:, :, 0], conv.pointwise_conv1.bias),
            depthwise=self._normalised(conv.depthwise_conv, conv.batch_norm),
            convolution_out=self._linear(conv.pointwise_conv2.weight[:, :, 0], conv.pointwise_conv2.bias),
            after=self._feed_forward(layer.norm_feed_forward2, layer.feed_forward2, layer.fc_factor),
            norm=self._norm(layer.norm_out),
        )

    def _feed_forward(self, norm: Any, module: Any, factor: float) -> FeedForward:
        inner = self._linear(module.linear1.weight, module.linear1.bias)
        outer = self._linear(module.linear2.weight, module.linear2.bias)
        return FeedForward(self._norm(norm), inner, outer, factor)

    def _qkv(self, attention: Any) -> Linear:
        parts = [attention.linear_q, attention.linear_k, attention.linear_v]
        biases = [torch.zeros_like(part.weight[:, 0]) if part.bias is None else part.bias for part in parts]
        biases[0] = biases[0] + attention.pos_bias_v.flatten()
        return self._linear(torch.cat([part.weight for part in parts]), torch.cat(biases))

    def _normalised(self, conv: Any, norm: Any) -> DepthwiseConv:
        """Put the batch normalisation, whose statistics stand still, into the convolution before it."""
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias - norm.running_mean * gain
        if conv.bias is not None:
            bias = bias + conv.bias * gain
        return self._depthwise(conv.weight * gain[:, None, None], bias)

    def _depthwise(self, weight: Tensor, bias: Tensor) -> DepthwiseConv:
        weight = self._put(weight)
        return DepthwiseConv(weight, taps_first(weight), self._put(bias))

    def _linear(self, weight: Tensor, bias: Tensor | None) -> Linear:
        return Linear(self._put(weight), None if bias is None else self._put(bias))

    def _norm(self, norm: Any) -> Norm:
        return Norm(self._put(norm.weight), self._put(norm.bias), norm.eps)

    def _put(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self._device, self._dtype).contiguous()


def unsupported_reason(encoder: Any) -> str | None:
    """Return why `FastConformerEncoder` cannot stand in for a NeMo encoder, None where it can.

    It knows the published Parakeet checkpoints' kind in any size: 0.6B v2 and v3, 1.1B, 110M.
    """
    kind = type(encoder).__name__
    if kind != "ConformerEncoder":
        return f"it is a {kind}"
    return _unsupported_frame(encoder) or _unsupported_layers(encoder)


def _unsupported_frame(encoder: Any) -> str | None:
    """Return what is unknown in the parts around an encoder's layers."""
    pre = encoder.pre_encode
    subsampling = getattr(pre, "_subsampling", type(pre).__name__)
    if subsampling != "dw_striding" or pre.subsampling_factor != SUBSAMPLING or pre.is_causal:
        causal = "causal " if getattr(pre, "is_causal", False) else ""
        return f"its subsampling is {causal}{subsampling} by {encoder.subsampling_factor}"
    if encoder.self_attention_model not in ("rel_pos", "rel_pos_local_attn"):
        return f"its attention is {encoder.self_attention_model}"
    left, right = encoder.att_context_size
    if encoder.att_context_style != "regular" or left != right:
        return f"its attention's context is {encoder.att_context_style}, {list(encoder.att_context_size)}"
    if encoder.global_tokens:
        return f"its attention has {encoder.global_tokens} global tokens"
    if encoder.reduction_position is not None or encoder.out_proj is not None:
        return "it reduces its frames or projects its output"
    return None


def _unsupported_layers(encoder: Any) -> str | None:
    """Return what is unknown in an encoder's layers."""
    for layer in encoder.layers:
        conv = layer.conv
        if conv.norm_type != "batch_norm" or conv.pointwise_activation != "glu_":
            return f"its convolutions have {conv.norm_type} and {conv.pointwise_activation}"
        if conv.depthwise_conv._left_padding != conv.depthwise_conv._right_padding:
            return "its convolutions do not see as far ahead as back"
        if layer.is_adapter_available():
            return "it has adapters"
        for module in (layer.feed_forward1, layer.feed_forward2, layer.conv):
            if not isinstance(module.activation, torch.nn.SiLU):
                return f"its activation is {type(module.activation).__name__}"
    return None


def _half(size: int) -> int:
    return (size + 1) // 2


def _halved(counts: Tensor) -> Tensor:
    """Return how many frames a convolution of stride 2 makes of so many."""
    return (counts + 1) // 2
