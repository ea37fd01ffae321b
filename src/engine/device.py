"""The settings' device, number format and thread count in torch's terms."""

import os
from typing import TYPE_CHECKING

from src.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> "torch.device":
    """Return the device of that name: `cpu`, `cuda`, `cuda:N`, or `auto` for a GPU if there is one and the CPU if not.

    Raises:
        ModelUnavailable: torch does not see that GPU.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if (device.index or 0) >= torch.cuda.device_count():
        raise ModelUnavailable(
            f"PARAKEET_DEVICE={name}, but torch sees {torch.cuda.device_count()} GPUs; check the driver, or set "
            "PARAKEET_DEVICE=auto."
        )
    return torch.device("cuda", device.index or 0)


def resolve_dtype(name: str, device: "torch.device") -> "torch.dtype":
    """Return the number format of that name; `auto` is bfloat16 on a GPU and float32 on a CPU."""
    import torch

    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def describe_device(device: "torch.device") -> str:
    """Return what the log calls a device: its name and the model of the GPU, or how many CPU threads torch uses."""
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


def limit_torch_threads() -> None:
    """Leave a core of this process to other work than torch's."""
    import torch

    torch.set_num_threads(torch_threads(len(os.sched_getaffinity(0)), torch.get_num_threads()))


def torch_threads(cores: int, wanted: int) -> int:
    """Return how many threads torch should use for one operation, given how many it would use (`OMP_NUM_THREADS`).

    One core is left to the event loop and to decoding audio. Torch's threads wait for each other after each operation,
    so one thread without a core holds up all of them. On two cores and with the bundled model, a request took 54 ms
    with two threads and 35 ms with one, and with 16 requests at a time, 44 and 54 requests a second were done.
    """
    return max(1, min(wanted, cores - 1))
