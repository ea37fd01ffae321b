"""The part of `gpu_check.py` for the machine: its hardware and software, and its speed.

It multiplies matrices and copies memory. It also times the speech detector's network, which the service runs on the
CPU, on both the CPU and the device, to show whether it should move.
"""

import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import search_path
import client
import client_report
import numpy as np
from gpu_part import NO_GPU, arguments, median_s, put, say

from src.audio.microbatch import MAX_BATCH
from src.audio.silero import CONTEXT_SAMPLES, FRAME_SAMPLES, Silero
from src.audio.vad import FIRST_BLOCK_FRAMES
from src.engine import toolchain

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "triton", "nemo_toolkit", "numpy", "fastapi", "uvicorn", "av", "silero-vad")
GPU_MATRIX, CPU_MATRIX = 8192, 1024
GPU_COPY_BYTES, CPU_COPY_BYTES = 1 << 30, 64 << 20
DETECTOR_STREAMS = (1, MAX_BATCH)


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
    for streams in DETECTOR_STREAMS:
        times_ms = [1000 * detector_s(streams, where) for where in (torch.device("cpu"), device)]
        say(f"detector        {streams} x 1 s: {times_ms[0]:.3g} ms on the CPU, {times_ms[1]:.3g} ms on the device")
        put(**{f"detector, {streams} streams": {"cpu_ms": times_ms[0], "device_ms": times_ms[1]}})
    return 0


def card_rows(device: "torch.device") -> list[client_report.Row]:
    """Return the table rows of the device."""
    import torch

    if device.type == "cpu":
        return [("card", "none: a rehearsal on the CPU")]
    card = torch.cuda.get_device_properties(device)
    capability = f"sm_{card.major}{card.minor}"
    return [
        ("card", f"{card.name}, {card.total_memory / 1e9:.0f} GB, {card.multi_processor_count} SMs, {capability}"),
        ("driver", driver_field("driver_version") or "not known"),
        ("CUDA", f"{torch.version.cuda}"),
    ]


def driver_field(field: str) -> str | None:
    """Return a field of `nvidia-smi` for the first GPU, None if the program is missing or fails."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer or None


def software_rows() -> list[client_report.Row]:
    """Return the versions of the service's packages, and the tools to build kernels."""
    versions = [(name, version(name)) for name in PACKAGES]
    return [
        ("Python", platform.python_version()),
        *versions,
        ("C compiler", found(os.environ.get("CC", "cc"))),
        ("nvcc", found("nvcc")),
        ("kernels", toolchain.missing() or "Triton has what it needs"),
        ("service", unimportable("src.app") or "has what it needs"),
    ]


def version(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def unimportable(module: str) -> str | None:
    """Return why a module cannot be imported, such as a missing package; None if it can."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return None


def found(program: str) -> str:
    """Return the path of a program."""
    return shutil.which(program) or "missing"


def host_rows() -> list[client_report.Row]:
    """Return the table rows of the host."""
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


def detector_s(streams: int, device: "torch.device") -> float:
    """Return the seconds of one call of the detector's network for a second of each stream, including the copies."""
    import torch

    network = Silero()
    if device.type == "cuda":
        move(network, device)
    weight, bias = network._output
    size = (streams * FIRST_BLOCK_FRAMES, CONTEXT_SAMPLES + FRAME_SAMPLES)
    frames = torch.from_numpy(np.random.default_rng(0).normal(scale=0.1, size=size).astype(np.float32))

    def run() -> None:
        with torch.inference_mode():
            features = network._features(frames.to(device))
            hidden, _ = network._lstm(features.view(FIRST_BLOCK_FRAMES, streams, -1))
            (hidden.relu() @ weight + bias).sigmoid().cpu()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the service does
    try:
        return median_s(run, device)
    finally:
        torch.set_num_threads(threads)


def move(network: Silero, device: "torch.device") -> None:
    """Move the network's weights to a device."""
    network._window = network._window.to(device)
    network._layers = [(matrix.to(device), bias.to(device)) for matrix, bias in network._layers]
    network._lstm.to(device)
    network._output = tuple(part.to(device) for part in network._output)


if __name__ == "__main__":
    sys.exit(client.run(main))
