"""The launches of the encoder's Triton kernels, compiled without a GPU; `test_kernels.py` has what they compute.

Skipped if Triton is not installed.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from src.engine.encoder.operations import BatchLayout, DepthwiseConv, RelativePositions

triton = pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from src.engine.encoder import triton_operations  # noqa: E402

pytestmark = pytest.mark.timeout(600)  # the compiler is slow, beside other processes slower still

TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.int64: "*i64"}
MAX_SHARED_BYTES = 101_376
"""Limit for a program of compute capability 8.9 or 12.0; others have more."""
REGISTERS = 65_536
"""Of a multiprocessor."""


@dataclass(frozen=True)
class Compiled:
    """The compiler's report on a kernel."""

    name: str
    threads: int
    registers: int
    """Of a thread."""
    stack_bytes: int
    """Of a thread: memory for values that do not fit its registers."""
    shared_bytes: int


class Compiler:
    """Compiles each launched kernel for a compute capability instead of running it."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)
        self.found: list[Compiled] = []

    def launch(self, kernel, grid, warps, *arguments, **sizes) -> None:
        names = kernel.arg_names
        types = dict(zip(names, map(type_of, arguments), strict=False))
        source = ASTSource(
            fn=kernel,
            signature={name: types.get(name, "constexpr") for name in names},
            constexprs={(names.index(name),): size for name, size in sizes.items()},
            attrs={
                (place,): [["tt.divisibility", 16]]
                for place, name in enumerate(names)
                if is_aligned(kernel, name, types)
            },
        )
        built = triton.compile(source, target=self._target, options={"num_warps": warps})
        usage = resources(built.asm["cubin"])
        numbers = {key: int(value) for key, value in re.findall(r"(REG|STACK):(\d+)", usage)}
        self.found.append(
            Compiled(kernel.__name__, 32 * warps, numbers["REG"], numbers["STACK"], built.metadata.shared)
        )


def type_of(argument) -> str:
    if isinstance(argument, torch.Tensor):
        return TYPES[argument.dtype]
    return "fp32" if isinstance(argument, float) else "i32"


def is_aligned(kernel, name, types) -> bool:
    """Whether Triton may assume an address that is a multiple of 16, as those of torch's tensors are."""
    return types.get(name, "").startswith("*") and name != "counts"


def resources(cubin: bytes) -> str:
    tool = triton.knobs.nvidia.cuobjdump.path
    file = Path(os.environ["TRITON_CACHE_DIR"], "kernel.cubin")
    file.write_bytes(cubin)
    return subprocess.run([tool, "--dump-resource-usage", str(file)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("capability", "dtype", "head", "taps"),
    [
        (90, torch.bfloat16, 128, 9),
        (90, torch.float16, 64, 5),
        (90, torch.float32, 128, 9),
        (89, torch.bfloat16, 128, 9),
    ],
)
def test_the_kernels_compile_without_a_gpu_and_keep_everything_in_registers(
    capability, dtype, head, taps, monkeypatch, tmp_path
):
    """For the published width of 1024 with 8 or 16 heads, on an H100 and on an L4 or RTX 4090.

    The code for an A100 is that for an L4, which has less shared memory.
    """
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiler = Compiler(capability)
    monkeypatch.setattr(triton_operations, "_launch", compiler.launch)
    run_all(dtype, head, taps)
    assert [kernel.name for kernel in compiler.found] == ["subsample_features", "subsample", "convolve", "attend"]
    for kernel in compiler.found:
        assert kernel.stack_bytes == 0, kernel
        assert kernel.shared_bytes <= MAX_SHARED_BYTES, kernel
        assert kernel.registers * kernel.threads <= REGISTERS // 2, kernel  # two programs at a time


def run_all(dtype: torch.dtype, head: int, taps: int) -> None:
    """Launch each step once, for tensors without numbers."""
    operations = triton_operations.TritonOperations()

    def empty(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    counts = empty(2, dtype=torch.int64)
    layout = BatchLayout(2, 104, counts, 16, empty())
    convs = [DepthwiseConv(empty(256, 1, 3, 3), empty(9, 256), empty(256)) for _ in range(2)]
    operations.subsample_features(empty(2, 128, 832, dtype=torch.float32).transpose(1, 2), counts, *convs)
    operations.subsample_step(
        empty(2, 416, 64, 256), counts, DepthwiseConv(empty(256, 1, 3, 3), empty(9, 256), empty(256))
    )
    operations.convolve(empty(208, 2048), DepthwiseConv(empty(1024, 1, taps), empty(taps, 1024), empty(1024)), layout)
    heads = 1024 // head
    operations.attend(empty(208, 3072), heads, RelativePositions(empty(heads, 48, head), empty(1024)), layout)
