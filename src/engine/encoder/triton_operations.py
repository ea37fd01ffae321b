"""The encoder's fused steps as launches of Triton's kernels.

Tile sizes are fixed, and no number that changes between batches is one that Triton compiles for. So each kernel is
compiled once for a model, when it warms up, and never while requests are served. The sizes were chosen by what the
compiler says of them for an H100: no spilled register, and few instructions for each number of the output.

This file loads torch and Triton; it is imported when a model is loaded, where `toolchain.missing()` finds nothing.
"""

from typing import Any

import torch
import triton

from src.engine.encoder import kernels
from src.engine.encoder.operations import BatchLayout, DepthwiseConv, RelativePositions

Tensor = torch.Tensor

QUERIES, KEYS = 64, 32
"""The tile of attention. An H100's tensor cores take 64 rows at a time from four warps; with 64 keys a thread would
need more than its 255 registers."""
EXACT_QUERIES = 32
"""The same in float32, for which tensor cores would round to 10 bits: its products take more registers."""
ATTENTION_WARPS = 4
"""Of a program of attention."""
FRAMES = 16
"""Frames of a clip that one program convolves; with 9 taps it reads 24 for them. More would be read less often, but
leave too few programs to a short clip."""
BANDS = 8
"""Bands of the output that one program of the subsampling makes, of one frame."""
WARPS = 2
"""Of a program of either convolution."""
MAX_WINDOW = 128
"""Weights and inputs of a convolution that a thread keeps in registers, of which it has 255."""


class TritonOperations:
    """The steps as Triton kernels, on the GPU that is the thread's current one; see `Operations`.

    The first call of each step compiles it: some seconds, or less where Triton's cache on disk has it.
    """

    name = "Triton kernels"

    def subsample_step(self, x: Tensor, counts: Tensor, conv: DepthwiseConv) -> Tensor:
        """See `Operations`."""
        clips, frames, bands, channels = x.shape
        out = x.new_empty(clips, (frames + 1) // 2, (bands + 1) // 2, channels)
        _, new_frames, new_bands, _ = out.shape
        block = 4 * 32 * WARPS  # four neighbouring channels for each thread, read at once
        grid = (new_frames, triton.cdiv(new_bands, BANDS) * triton.cdiv(channels, block), clips)
        tensors, shape = (x, counts, conv.weight_by_tap, conv.bias, out), (frames, bands, new_frames, new_bands)
        _launch(kernels.subsample, grid, WARPS, *tensors, *shape, CHANNELS=channels, BANDS=BANDS, BLOCK=block)
        return out

    def convolve(self, x: Tensor, conv: DepthwiseConv, layout: BatchLayout) -> Tensor:
        """See `Operations`."""
        taps, width = conv.weight_by_tap.shape
        out = x.new_empty(x.shape[0], width)
        per_thread = next((many for many in (4, 2) if many * 2 * taps <= MAX_WINDOW), 1)
        block = per_thread * 32 * WARPS
        grid = (triton.cdiv(layout.frames, FRAMES), triton.cdiv(width, block), layout.clips)
        tensors = (x, layout.counts, conv.weight_by_tap, conv.bias, out)
        sizes = {"WIDTH": width, "TAPS": taps, "FRAMES": FRAMES, "BLOCK": block}
        _launch(kernels.convolve, grid, WARPS, *tensors, layout.frames, **sizes)
        return out

    def attend(self, qkv: Tensor, heads: int, distances: RelativePositions, layout: BatchLayout) -> Tensor:
        """See `Operations`.

        The scores of positions are a product of their own, (heads, clips * frames, 2 * reach), as in plain PyTorch; the
        rest is one kernel, which reads of it what a query sees.
        """
        rows, width = qkv.shape[0], qkv.shape[1] // 3
        head = width // heads
        queries = qkv[:, :width].view(rows, heads, head).transpose(0, 1)
        by_distance = torch.bmm(queries, distances.encodings.transpose(1, 2))
        out = qkv.new_empty(rows, width)
        block = EXACT_QUERIES if qkv.dtype == torch.float32 else QUERIES
        grid = (triton.cdiv(layout.frames, block), heads, layout.clips)
        tensors = (qkv, by_distance, distances.shift, layout.counts, out)
        context = layout.frames if layout.context is None else layout.context
        numbers = (rows, layout.frames, by_distance.shape[2] // 2, context, head**-0.5)
        depth = max(16, triton.next_power_of_2(head))  # which the tensor cores take
        sizes = {"HEADS": heads, "HEAD": head, "DEPTH": depth, "QUERIES": block, "KEYS": KEYS}
        _launch(kernels.attend, grid, ATTENTION_WARPS, *tensors, *numbers, **sizes)
        return out


def _launch(kernel: Any, grid: tuple[int, int, int], warps: int, *arguments: Any, **sizes: int) -> None:
    """Run a kernel in as many programs as `grid` says, of so many warps each."""
    kernel[grid](*arguments, **sizes, num_warps=warps)
