"""The modules of the FastConformer encoder. `Operations` computes those that a device may have kernels for.

This file loads torch; it is imported when a model is loaded.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from src.engine.encoder.operations import (
    DepthwiseConv,
)

Tensor = torch.Tensor


@dataclass(frozen=True)
class Norm:
    """A layer normalisation."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return normalised rows."""
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
        """Add `factor` times the layer's output for `y` to `x` in place, as one product that is rounded once."""
        x.addmm_(y, self.weight.t(), alpha=factor)
        if self.bias is not None:
            x.add_(self.bias, alpha=factor)


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward module with its norm; `factor` times its output is added to its input."""

    norm: Norm
    inner: Linear
    outer: Linear
    factor: float

    def add_to(self, x: Tensor) -> None:
        """Add the module's output for `x` to `x`, in place."""
        self.outer.add_to(x, F.silu(self.inner(self.norm(x)), inplace=True), self.factor)


@dataclass(frozen=True)
class Layer:
    """The weights of one Conformer layer, in the order of their use."""

    first_feed_forward: FeedForward
    attention_norm: Norm
    qkv: Linear
    """Projection to queries for positions, keys and values."""
    attention_out: Linear
    convolution_norm: Norm
    convolution_in: Linear
    """Projection to values and gates."""
    depthwise: DepthwiseConv
    """With the batch normalisation folded in."""
    convolution_out: Linear
    second_feed_forward: FeedForward
    norm: Norm


@dataclass(frozen=True)
class SubsamplingStep:
    """A depthwise convolution that halves frames and bands, and the pointwise one that mixes the channels."""

    depthwise: DepthwiseConv
    pointwise: Linear


@dataclass(frozen=True)
class Subsampling:
    """The weights of the convolutions that reduce eight frames to one."""

    first: DepthwiseConv
    """A plain 3 x 3 convolution of features. Its `weight` is in channels-last memory, so that the output is too."""
    steps: tuple[SubsamplingStep, ...]
    out: Linear
    """Projects (bands, channels) as one row; the scale of the encoder's input is folded in."""
