"""Conversion of a NeMo `ConformerEncoder` to the modules of `FastConformerEncoder`.

This file loads torch; it is imported when a model is loaded.
"""

from typing import Any

import torch

from src.engine.encoder.modules import FeedForward, Layer, Linear, Norm, Subsampling, SubsamplingStep
from src.engine.encoder.operations import (
    DepthwiseConv,
    taps_first,
)
from src.engine.frames import FEATURES_PER_FRAME

Tensor = torch.Tensor


class NemoWeights:
    """Converts NeMo's float32 modules to weights of `dtype` on `device`; unchanged tensors are shared, not copied."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype

    def subsampling(self, encoder: Any) -> Subsampling:
        """Convert the subsampling of a `ConformerEncoder`."""
        conv, out = encoder.pre_encode.conv, encoder.pre_encode.out
        channels = conv[0].out_channels
        scale = encoder.xscale or 1.0
        # NeMo flattens (channels, bands); here the channels are last.
        weight = out.weight.view(encoder.d_model, channels, -1).transpose(1, 2).reshape(encoder.d_model, -1)
        return Subsampling(
            self._first_conv(conv[0]),
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
        """Convert a `ConformerLayer`."""
        attention, conv = layer.self_attn, layer.conv
        return Layer(
            first_feed_forward=self._feed_forward(layer.norm_feed_forward1, layer.feed_forward1, layer.fc_factor),
            attention_norm=self._norm(layer.norm_self_att),
            qkv=self._qkv(attention),
            attention_out=self._linear(attention.linear_out.weight, attention.linear_out.bias),
            convolution_norm=self._norm(layer.norm_conv),
            convolution_in=self._linear(conv.pointwise_conv1.weight[:, :, 0], conv.pointwise_conv1.bias),
            depthwise=self._fold_batch_norm(conv.depthwise_conv, conv.batch_norm),
            convolution_out=self._linear(conv.pointwise_conv2.weight[:, :, 0], conv.pointwise_conv2.bias),
            second_feed_forward=self._feed_forward(layer.norm_feed_forward2, layer.feed_forward2, layer.fc_factor),
            norm=self._norm(layer.norm_out),
        )

    def _feed_forward(self, norm: Any, module: Any, factor: float) -> FeedForward:
        inner = self._linear(module.linear1.weight, module.linear1.bias)
        outer = self._linear(module.linear2.weight, module.linear2.bias)
        return FeedForward(self._norm(norm), inner, outer, factor)

    def _qkv(self, attention: Any) -> Linear:
        """Join the projections of queries, keys and values; the queries get the bias of positions."""
        parts = [attention.linear_q, attention.linear_k, attention.linear_v]
        biases = [torch.zeros_like(part.weight[:, 0]) if part.bias is None else part.bias for part in parts]
        biases[0] = biases[0] + attention.pos_bias_v.flatten()
        return self._linear(torch.cat([part.weight for part in parts]), torch.cat(biases))

    def _fold_batch_norm(self, conv: Any, norm: Any) -> DepthwiseConv:
        """Fold the batch normalisation, whose statistics are fixed, into the convolution before it."""
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias - norm.running_mean * gain
        if conv.bias is not None:
            bias = bias + conv.bias * gain
        return self._depthwise(conv.weight * gain[:, None, None], bias)

    def _first_conv(self, conv: Any) -> DepthwiseConv:
        # With one input channel `contiguous` would keep the strides, and the output would not be channels-last.
        weight = self._convert(conv.weight).clone(memory_format=torch.channels_last)
        return DepthwiseConv(weight, taps_first(weight), self._convert(conv.bias))

    def _depthwise(self, weight: Tensor, bias: Tensor) -> DepthwiseConv:
        weight = self._convert(weight)
        return DepthwiseConv(weight, taps_first(weight), self._convert(bias))

    def _linear(self, weight: Tensor, bias: Tensor | None) -> Linear:
        return Linear(self._convert(weight), None if bias is None else self._convert(bias))

    def _norm(self, norm: Any) -> Norm:
        return Norm(self._convert(norm.weight), self._convert(norm.bias), norm.eps)

    def _convert(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self._device, self._dtype).contiguous()


def unsupported_reason(encoder: Any) -> str | None:
    """Return why `FastConformerEncoder` cannot replace a NeMo encoder, None if it can.

    It supports the architecture of the published Parakeet checkpoints in any size: 0.6B v2 and v3, 1.1B, 110M.
    """
    kind = type(encoder).__name__
    if kind != "ConformerEncoder":
        return f"it is a {kind}"
    return _unsupported_around_layers(encoder) or _unsupported_in_layers(encoder)


def _unsupported_around_layers(encoder: Any) -> str | None:
    """Return what is unsupported outside an encoder's layers, None if nothing is."""
    pre = encoder.pre_encode
    subsampling = getattr(pre, "_subsampling", type(pre).__name__)
    if subsampling != "dw_striding" or pre.subsampling_factor != FEATURES_PER_FRAME or pre.is_causal:
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


def _unsupported_in_layers(encoder: Any) -> str | None:
    """Return what is unsupported in an encoder's layers, None if nothing is."""
    for layer in encoder.layers:
        conv = layer.conv
        if conv.norm_type != "batch_norm" or conv.pointwise_activation != "glu_":
            return f"its convolutions have {conv.norm_type} and {conv.pointwise_activation}"
        if conv.depthwise_conv._left_padding != conv.depthwise_conv._right_padding:
            return "its convolutions are not centred on each frame"
        if layer.is_adapter_available():
            return "it has adapters"
        for module in (layer.feed_forward1, layer.feed_forward2, layer.conv):
            if not isinstance(module.activation, torch.nn.SiLU):
                return f"its activation is {type(module.activation).__name__}"
    return None
