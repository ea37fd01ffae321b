"""The part of `gpu_check.py` for the machine: what is there, and how fast it multiplies matrices and copies memory."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import client
import client_report
from gpu_part import NO_GPU, arguments, median_s, put, say

from src.asr import toolchain

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "triton", "nemo_toolkit", "numpy", "fastapi", "uvicorn", "av", "silero-vad")
GPU_MATRIX, CPU_MATRIX = 8192, 1024
GPU_COPY_BYTES, CPU_COPY_BYTES = 1 << 30, 64 << 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments("Tell what this machine has for the service, and how fast it is.", argv)
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        say("There is no GPU that torch can use; --device cpu rehearses without one.")
        return NO_GPU
    device = torch.device(options.device)
    rows = [*card_rows(device), *software_rows(), *host_rows()]
    say(client_report.table(rows))
    put(**dict(rows))
    flops = matrix_flops(device)
    say(f"matrix product  {flops / 1e12:.3g} TFLOP/s ({dtype_name(device)}, random values)")
    put(matrix_tflops=flops / 1e12)
    copied = copy_bytes_per_s(device)
    say(f"memory copy     {copied / 1e9:.4g} GB/s, read and written")
    put(copy_gb_per_s=copied / 1e9)
    return 0


def card_rows(device: "torch.device") -> list[client_report.Row]:
    """Return what the device is."""
    import torch

    if device.type == "cpu":
        return [("card", "none: a rehearsal on the CPU")]
    card = torch.cuda.get_device_properties(device)
    capability = f"sm_{card.major}{card.minor}"
    return [
        ("card", f"{card.name}, {card.total_memory / 1e9:.0f} GB, {card.multi_processor_count} SMs, {capability}"),
        ("driver", asked_of_the_driver("driver_version") or "not known"),
        ("CUDA", f"{torch.version.cuda}"),
    ]


def asked_of_the_driver(field: str) -> str | None:
    """Return a field of `nvidia-smi` for the first GPU, None where there is no such program or it does not answer."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return told or None


def software_rows() -> list[client_report.Row]:
    """Return the versions of what the service runs on, and what there is to build kernels."""
    versions = [(name, version(name)) for name in PACKAGES]
    return [
        ("Python", platform.python_version()),
        *versions,
        ("C compiler", found(os.environ.get("CC", "cc"))),
        ("nvcc", found("nvcc")),
        ("kernels", toolchain.missing() or "Triton has what it needs"),
    ]


def version(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def found(program: str) -> str:
    """Return where a program is."""
    return shutil.which(program) or "missing"


def host_rows() -> list[client_report.Row]:
    """Return what the service's own code runs on."""
    cores = f"{len(os.sched_getaffinity(0))} cores"
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    named = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [("CPU", f"{named}, {cores}"), ("memory", f"{memory / 1e9:.0f} GB")]


def dtype_name(device: "torch.device") -> str:
    """Return the number format of the matrices that are multiplied."""
    return "bfloat16" if device.type == "cuda" else "float32"


def matrix_flops(device: "torch.device") -> float:
    """Return the operations per second of a large product of random matrices."""
    import torch

    size = GPU_MATRIX if device.type == "cuda" else CPU_MATRIX
    left, right = torch.randn(2, size, size, device=device).to(getattr(torch, dtype_name(device)))
    return 2 * size**3 / median_s(lambda: left @ right, device)


def copy_bytes_per_s(device: "torch.device") -> float:
    """Return the bytes per second that a copy within the device's memory reads and writes."""
    import torch

    size = GPU_COPY_BYTES if device.type == "cuda" else CPU_COPY_BYTES
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / median_s(lambda: target.copy_(source), device)


if __name__ == "__main__":
    sys.exit(client.run(main))
