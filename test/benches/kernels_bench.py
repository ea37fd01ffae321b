"""The part of `gpu_check.py` for Triton's kernels: the encoder's fused steps compared with plain PyTorch.

python3 test/benches/kernels_bench.py                  (on a GPU)
python3 test/benches/kernels_bench.py --device cpu     (small batches in Triton's interpreter, not timed)

Each line has a step, a batch (clips x frames, frames of context), a dtype, the errors of PyTorch and of Triton, and the
milliseconds of each. An error is the distance from the same step in higher precision, relative to its norm, over the
real frames. A step fails if its error exceeds rounding, or if the padding of its output is not finite.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import search_path
import client
import torch
from gpu_part import DIFFERENT, NO_GPU, Rows, arguments, put, say

from src.engine import toolchain
from src.engine.encoder.operations import (
    MASKED_SCORE,
    BatchLayout,
    DepthwiseConv,
    Operations,
    PlainOperations,
    RelativePositions,
    taps_first,
)

Tensor = torch.Tensor

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Maximum rounding errors: a few units in the last place of each dtype."""
NAMES = ("dtype", "error", "by Triton", "ms", "by Triton")


@dataclass(frozen=True)
class Batch:
    """The shape of a batch and of its encoder."""

    counts: tuple[int, ...]
    """Real frames of each clip."""
    frames: int
    features: int
    """Frames of the subsampling's input for these frames of the encoder."""
    context: int | None = None
    heads: int = 8
    head: int = 128
    taps: int = 9
    bands: int = 64
    channels: int = 256

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{len(self.counts)} x {self.frames}, {'all' if self.context is None else self.context}"

    @property
    def width(self) -> int:
        """Number of channels."""
        return self.heads * self.head

    def layout(self, like: Tensor) -> BatchLayout:
        """Return its layout for an encoder with the dtype and device of a tensor."""
        counts = torch.tensor(self.counts, device=like.device)
        return BatchLayout(len(self.counts), self.frames, counts, self.context, like.new_tensor(MASKED_SCORE))


SMALL = (
    Batch((40, 33, 1, 0), 40, 5, heads=2, head=24, taps=5, bands=7, channels=20),
    Batch((40, 39), 40, 3, 5, heads=1, head=64, taps=9, bands=18, channels=260),
    Batch((48,), 48, 4, 20, heads=1, head=16, taps=31, bands=16, channels=3),
    Batch((1,), 1, 1, heads=1, head=128, taps=9, bands=1, channels=1),
)
"""Multiples of a tile, and others; full clips, clips of one frame and of none; a context of only the frame itself."""
LARGE = (
    Batch((101,), 104, 416),
    Batch(tuple(range(66, 377, 10)), 376, 1504),
    Batch(tuple(range(66, 377, 10)), 376, 1504, 128),
    Batch((192,) * 128, 192, 768, 128),
)
"""Of the published shape: one clip of 8 s, 32 of 5 to 30 s with full and with local attention, 128 of 15 s."""


@dataclass(frozen=True)
class Step:
    """A step with an input, the same in every run."""

    name: str
    inputs: tuple[Tensor, ...]
    """The first is (clips, frames, ...); its padding is 0."""
    counts: Tensor
    """Its real frames."""
    run: Callable[..., Tensor]
    """Runs the step with given operations on the inputs, in any dtype; returns (clips, frames, ...)."""
    stride: int = 1
    """Input frames per output frame."""

    def padded_with(self, value: float) -> tuple[Tensor, ...]:
        """Return the inputs with their padding set to `value`."""
        x = self.inputs[0].clone()
        x[~_real(self.counts, x)] = value
        return x, *self.inputs[1:]


def _real(counts: Tensor, x: Tensor) -> Tensor:
    return torch.arange(x.shape[1], device=x.device) < counts[:, None]


class Random:
    """Makes random inputs for one batch, of a magnitude of about 1."""

    def __init__(self, batch: Batch, dtype: torch.dtype, device: str) -> None:
        self._batch, self._dtype, self._device = batch, dtype, device
        self._counts = torch.tensor(batch.counts, device=device)
        self._generator = torch.Generator(device).manual_seed(0)

    def steps(self) -> Iterator[Step]:
        """Yield the steps, in the order of the encoder."""
        yield self._subsample_features()
        yield self._subsample_step()
        yield self._convolve()
        yield self._attend()

    def _numbers(self, *shape: int, scale: float = 1.0) -> Tensor:
        numbers = torch.randn(shape, generator=self._generator, device=self._device, dtype=torch.float32)
        return numbers.mul_(scale).to(self._dtype)

    def _step(self, name: str, counts: Tensor, run: Callable[..., Tensor], *inputs: Tensor, stride: int = 1) -> Step:
        inputs[0][~_real(counts, inputs[0])] = 0.0
        return Step(name, inputs, counts, run, stride)

    def _subsample_features(self) -> Step:
        batch = self._batch
        counts = self._counts * 2 * batch.features // batch.frames

        def run(operations: Operations, x: Tensor, *weights: Tensor) -> Tensor:
            convs = [DepthwiseConv(w, taps_first(w), bias) for w, bias in zip(weights[::2], weights[1::2], strict=True)]
            return operations.subsample_features(x, counts, *convs)

        features = self._numbers(len(batch.counts), 2 * batch.bands, 2 * batch.features)  # as the model makes them
        shapes = [(batch.channels, 1, 3, 3), (batch.channels,)] * 2
        weights = [self._numbers(*shape, scale=0.5) for shape in shapes]
        return self._step("features", counts, run, features.transpose(1, 2), *weights, stride=4)

    def _subsample_step(self) -> Step:
        batch = self._batch
        counts = self._counts * batch.features // batch.frames

        def run(operations: Operations, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return operations.subsample_step(x, counts, DepthwiseConv(weight, taps_first(weight), bias))

        x = self._numbers(len(batch.counts), batch.features, batch.bands, batch.channels)
        weight, bias = self._numbers(batch.channels, 1, 3, 3), self._numbers(batch.channels)
        return self._step("subsample", counts, run, x, weight, bias, stride=2)

    def _convolve(self) -> Step:
        batch = self._batch

        def run(operations: Operations, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            conv = DepthwiseConv(weight, taps_first(weight), bias)
            out = operations.convolve(x.view(-1, x.shape[2]), conv, batch.layout(x))
            return out.view(*x.shape[:2], -1)

        x = self._numbers(len(batch.counts), batch.frames, 2 * batch.width)
        weight, bias = self._numbers(batch.width, 1, batch.taps), self._numbers(batch.width)
        return self._step("convolve", self._counts, run, x, weight, bias)

    def _attend(self) -> Step:
        batch = self._batch
        reach = batch.frames if batch.context is None else min(batch.frames, batch.context + 3)

        def run(operations: Operations, qkv: Tensor, encodings: Tensor, shift: Tensor) -> Tensor:
            distances = RelativePositions(encodings[:, 8:-8], shift)  # a slice of a larger table
            out = operations.attend(qkv.view(-1, qkv.shape[2]), batch.heads, distances, batch.layout(qkv))
            return out.view(*qkv.shape[:2], -1)

        qkv = self._numbers(len(batch.counts), batch.frames, 3 * batch.width)
        encodings = self._numbers(batch.heads, 2 * reach + 16, batch.head, scale=batch.head**-0.5)
        return self._step("attend", self._counts, run, qkv, encodings, self._numbers(batch.width))


@dataclass(frozen=True)
class Comparison:
    """One step of one batch, computed by Triton and by PyTorch."""

    step: str
    batch: str
    dtype: str
    plain_error: float
    fused_error: float
    """NaN if the output has one, even if only in padding."""
    holds: bool
    """Whether the error of the fused step is within rounding."""
    plain_ms: float | None
    """None if not timed."""
    fused_ms: float | None


class Comparer:
    """Compares the `fused` operations with plain ones on a device; `timed` needs a GPU."""

    def __init__(self, fused: Operations, device: str, *, timed: bool) -> None:
        self._plain, self._fused = PlainOperations(), fused
        self._device, self._timed = device, timed

    def compared(self, batches: Sequence[Batch], dtype: torch.dtype) -> Iterator[Comparison]:
        """Compare each step for each batch.

        The padding of the fused steps' inputs is NaN, which they must not read.
        """
        for batch in batches:
            for step in Random(batch, dtype, self._device).steps():
                yield self._one(step, batch, dtype)

    def _one(self, step: Step, batch: Batch, dtype: torch.dtype) -> Comparison:
        more_digits = torch.float64 if dtype == torch.float32 else torch.float32
        exact = step.run(self._plain, *(tensor.to(more_digits) for tensor in step.inputs))
        plain = step.run(self._plain, *step.padded_with(0.0))  # a copy, because the step may write to it
        fused = step.run(self._fused, *step.padded_with(float("nan")))
        real = _real(-(-step.counts // step.stride), exact)
        error = _error(fused, exact, real) if fused.isfinite().all() else float("nan")
        name = str(dtype).removeprefix("torch.")
        milliseconds = [self._milliseconds(step, operations) for operations in (self._plain, self._fused)]
        holds = error < TOLERANCE[dtype]
        return Comparison(step.name, batch.name, name, _error(plain, exact, real), error, holds, *milliseconds)

    def _milliseconds(self, step: Step, operations: Operations) -> float | None:
        if not self._timed:
            return None
        from triton.testing import do_bench

        return float(do_bench(lambda: step.run(operations, *step.inputs)))


def _error(x: Tensor, exact: Tensor, real: Tensor) -> float:
    return float((x.to(exact.dtype) - exact)[real].norm() / exact[real].norm())


def comparisons(device: str, *, quick: bool) -> Iterator[Comparison]:
    """Yield the comparisons on a device, the most important first; each new shape must be compiled."""
    from src.engine.encoder.triton_operations import TritonOperations

    if device == "cpu":
        comparer = Comparer(TritonOperations(), device, timed=False)
        if not quick:
            yield from comparer.compared(SMALL[:1], torch.float16)  # it cannot multiply matrices of bfloat16
        yield from comparer.compared(SMALL[-1:] if quick else SMALL, torch.float32)
        return
    torch.backends.cudnn.allow_tf32 = False  # for the reference
    comparer = Comparer(TritonOperations(), device, timed=True)
    yield from comparer.compared(LARGE, torch.bfloat16)
    yield from comparer.compared(LARGE[-1:], torch.float16)
    comparer = Comparer(TritonOperations(), device, timed=False)
    yield from comparer.compared(SMALL, torch.bfloat16)
    yield from comparer.compared(SMALL[:1], torch.float32)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments("Compare Triton's kernels with plain PyTorch; the model does not matter.", argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        return NO_GPU
    if options.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    problem = toolchain.missing()
    if problem is not None:
        say(f"there are no kernels: {problem}")
        return 0
    rows = Rows("step, batch", NAMES, 28)
    code = 0
    for one in comparisons(options.device, quick=options.quick):
        errors = (f"{one.plain_error:.1e}", f"{one.fused_error:.1e}")
        rows.add(f"{one.step}, {one.batch}", (one.dtype, *errors, one.plain_ms, one.fused_ms))
        put(**{f"{one.step}, {one.batch}, {one.dtype}": asdict(one)})
        if not one.holds:
            say("  which rounding does not explain")
            code = DIFFERENT
    return code


if __name__ == "__main__":
    sys.exit(client.run(main))
