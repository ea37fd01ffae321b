"""The encoder's fused steps as Triton kernels.

Tile sizes are fixed, and Triton does not specialise on any number that changes between batches. So each kernel is
compiled once for a model, during warm-up, and never while requests are served. The sizes were chosen by the compiler's
report for an H100: no spilled registers, and few instructions for each number of the output.

This file loads torch and Triton; it is imported when a model is loaded, if `toolchain.missing()` finds nothing.
"""

from typing import Any

import torch
import triton

from src.engine.encoder import kernels
from src.engine.encoder.operations import BatchLayout, DepthwiseConv, RelativePositions

Tensor = torch.Tensor

QUERIES, KEYS = 64, 32
"""The tile of attention. An H100's tensor cores take 64 rows at a time from four warps. With 64 keys a thread would
need more than its 255 registers."""
EXACT_QUERIES = 32
"""Queries of the tile in float32. Tensor cores would round it to 10 bits; exact products take more registers."""
ATTENTION_WARPS = 4
"""Warps of an attention program."""
FRAMES = 16
"""Frames of a clip that one program convolves. With 9 taps it reads 24 frames for them. With more, each frame would be
read less often, but a short clip would have too few programs."""
BANDS = 8
"""Bands of one output frame that one program of the subsampling computes."""
WARPS = 2
"""Warps of a program of either convolution."""
FEATURE_WARPS = 4
"""Warps of a program of the first two convolutions, whose threads have two channels each, as they need the weights of
both."""
MAX_WINDOW = 128
"""Limit on the weights and inputs of a convolution that a thread keeps in registers, of which it has 255."""


class TritonOperations:
    """`Operations` as Triton kernels on the thread's current GPU.

    The first call of each step compiles it, which takes some seconds, or less if Triton's cache on disk has it.
    """

    name = "Triton kernels"

    def subsample_features(self, x: Tensor, counts: Tensor, first: DepthwiseConv, conv: DepthwiseConv) -> Tensor:
        """See `Operations`."""
        clips, frames, mels = x.shape
        channels = len(first.bias)
        out = first.bias.new_empty(clips, -(-frames // 4), -(-mels // 4), channels)
        _, new_frames, new_bands, _ = out.shape
        block = 2 * 32 * FEATURE_WARPS
        grid = (new_frames, triton.cdiv(new_bands, BANDS) * triton.cdiv(channels, block), clips)
        weights = (first.weight_by_tap, first.bias, conv.weight_by_tap, conv.bias)
        shape = (*x.stride(), mels, new_frames, new_bands)
        sizes = {"CHANNELS": channels, "BANDS": BANDS, "BLOCK": block}
        _launch(kernels.subsample_features, grid, FEATURE_WARPS, x, counts, *weights, out, *shape, **sizes)
        return out

    def subsample_step(self, x: Tensor, counts: Tensor, conv: DepthwiseConv) -> Tensor:
        """See `Operations`."""
        clips, frames, bands, channels = x.shape
        out = x.new_empty(clips, (frames + 1) // 2, (bands + 1) // 2, channels)
        _, new_frames, new_bands, _ = out.shape
        block = 4 * 32 * WARPS  # each thread reads four adjacent channels at once
        grid = (new_frames, triton.cdiv(new_bands, BANDS) * triton.cdiv(channels, block), clips)
        tensors, shape = (x, counts, conv.weight_by_tap, conv.bias, out), (frames, bands, new_frames, new_bands)
        _launch(kernels.subsample, grid, WARPS, *tensors, *shape, CHANNELS=channels, BANDS=BANDS, BLOCK=block)
        return out

    def convolve(self, x: Tensor, conv: DepthwiseConv, layout: BatchLayout) -> Tensor:
        """See `Operations`."""
        taps, width = conv.weight_by_tap.shape
        out = x.new_empty(x.shape[0], width)
        per_thread = next((channels for channels in (4, 2) if channels * 2 * taps <= MAX_WINDOW), 1)
        block = per_thread * 32 * WARPS
        grid = (triton.cdiv(layout.frames, FRAMES), triton.cdiv(width, block), layout.clips)
        tensors = (x, layout.counts, conv.weight_by_tap, conv.bias, out)
        sizes = {"WIDTH": width, "TAPS": taps, "FRAMES": FRAMES, "BLOCK": block}
        _launch(kernels.convolve, grid, WARPS, *tensors, layout.frames, **sizes)
        return out

    def attend(self, qkv: Tensor, heads: int, positions: RelativePositions, layout: BatchLayout) -> Tensor:
        """See `Operations`.

        The position scores are a product of their own, (heads, clips * frames, 2 * reach), as in plain PyTorch. The
        rest is one kernel, which reads only the position scores of keys that a query sees.
        """
        rows, width = qkv.shape[0], qkv.shape[1] // 3
        head = width // heads
        queries = qkv[:, :width].view(rows, heads, head).transpose(0, 1)
        by_distance = torch.bmm(queries, positions.encodings.transpose(1, 2))
        out = qkv.new_empty(rows, width)
        block = EXACT_QUERIES if qkv.dtype == torch.float32 else QUERIES
        grid = (triton.cdiv(layout.frames, block), heads, layout.clips)
        tensors = (qkv, by_distance, positions.shift, layout.counts, out)
        context = layout.frames if layout.context is None else layout.context
        numbers = (rows, layout.frames, by_distance.shape[2] // 2, context, head**-0.5)
        depth = max(16, triton.next_power_of_2(head))  # a size that tensor cores take
        sizes = {"HEADS": heads, "HEAD": head, "DEPTH": depth, "QUERIES": block, "KEYS": KEYS}
        _launch(kernels.attend, grid, ATTENTION_WARPS, *tensors, *numbers, **sizes)
        return out


def _launch(kernel: Any, grid: tuple[int, int, int], warps: int, *arguments: Any, **sizes: int) -> None:
    """Launch a kernel as a grid of programs of `warps` warps each; `sizes` are its compile-time constants."""
    kernel[grid](*arguments, **sizes, num_warps=warps)
