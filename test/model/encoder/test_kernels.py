"""The encoder's Triton kernels without a GPU: what they compute, in Triton's interpreter, and what its compiler says.

Skipped where Triton is not installed. On a GPU `kernels_bench.py` asks the same of the compiled kernels.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from nemo_parts import conformer

from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.operations import BatchLayout, DepthwiseConv, RelativePositions

triton = pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from src.engine.encoder import triton_operations  # noqa: E402

pytestmark = pytest.mark.timeout(600)  # the interpreter and the compiler are slow, beside others slower still

BENCHES = Path(__file__).parents[2] / "benches"
TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.int64: "*i64"}
MAX_SHARED_BYTES = 101_376
"""What a program of compute capability 8.9 or 12.0 may have at most; others have more."""
REGISTERS = 65_536
"""Of a multiprocessor."""
WHOLE = """
import copy, sys
import torch
from src.engine.encoder.selfcheck import relative_error
from src.engine.encoder.triton_operations import TritonOperations

counts = torch.tensor([50, 27])
features = torch.randn(2, 8, 50) * (torch.arange(50) < counts[:, None])[:, None]
for plain in torch.load(sys.argv[1], weights_only=False):
    fused = copy.copy(plain)
    fused.operations = TritonOperations()
    expected, expected_counts = plain(features, counts)
    found, found_counts = fused(features, counts)
    assert found_counts.tolist() == expected_counts.tolist() == [7, 4]
    assert found.isfinite().all()
    error = relative_error(found, expected, counts=expected_counts)
    assert error < 1e-5, error
    print("compared")
"""
"""For encoders in a file, as the interpreter takes a process of its own, in which NeMo would take long to import."""


def interpreted(*arguments: str) -> str:
    """Run Python with Triton's interpreter, in the place of the compiler, and return what it says."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_step_gives_what_plain_pytorch_gives_and_reads_no_padding():
    interpreted(str(BENCHES / "kernels_bench.py"), "--device", "cpu")


def test_the_encoder_gives_the_same_with_full_and_local_attention(tmp_path):
    nemos = conformer(feat_in=8, n_layers=1)
    encoders = [
        FastConformerEncoder(nemos, torch.device("cpu"), torch.float32, context=context) for context in (None, 2)
    ]
    torch.save(encoders, tmp_path / "encoders")
    assert interpreted("-c", WHOLE, str(tmp_path / "encoders")) == "compared\n" * 2


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a kernel."""

    name: str
    threads: int
    registers: int
    """Of a thread."""
    stack_bytes: int
    """Of a thread: where it puts what does not fit its registers."""
    shared_bytes: int


class Compiler:
    """Compiles what is launched, for a compute capability, in the place of running it."""

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
    """Whether Triton compiles for an address that is a multiple of 16: as torch's are."""
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
        (80, torch.bfloat16, 128, 9),
        (89, torch.bfloat16, 128, 9),
    ],
)
def test_the_kernels_compile_without_a_gpu_and_keep_everything_in_registers(
    capability, dtype, head, taps, monkeypatch, tmp_path
):
    """For the published width of 1024 with 8 or 16 heads, on an H100, an A100 and an L4 or RTX 4090."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiler = Compiler(capability)
    monkeypatch.setattr(triton_operations, "_launch", compiler.launch)
    run_all(dtype, head, taps)
    assert [kernel.name for kernel in compiler.found] == ["subsample", "convolve", "attend"]
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
    operations.subsample_step(
        empty(2, 416, 64, 256), counts, DepthwiseConv(empty(256, 1, 3, 3), empty(9, 256), empty(256))
    )
    operations.convolve(empty(208, 2048), DepthwiseConv(empty(1024, 1, taps), empty(taps, 1024), empty(1024)), layout)
    heads = 1024 // head
    operations.attend(empty(208, 3072), heads, RelativePositions(empty(heads, 48, head), empty(1024)), layout)
