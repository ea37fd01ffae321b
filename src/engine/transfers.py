"""Copies of small data between the host and the model's device, with no more waiting than necessary.

A copy between pageable memory and a GPU makes torch wait for all work of the GPU; a copy from or to pinned memory
does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def to_device(rows: Sequence[Sequence[int]], device: "torch.device") -> "torch.Tensor":
    """Return rows of integers as an int64 tensor on a device, without waiting for the copy."""
    import torch

    numbers = torch.tensor(rows, dtype=torch.int64, pin_memory=device.type == "cuda")
    return numbers.to(device, non_blocking=True)


def to_host(data: "torch.Tensor") -> NDArray[Any]:
    """Return a tensor as an array on the host; wait for the work that the caller's stream has launched, no other."""
    import torch

    if data.device.type != "cuda":
        array: NDArray[Any] = data.numpy()
        return array
    pinned = torch.empty(data.shape, dtype=data.dtype, pin_memory=True)
    pinned.copy_(data, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call] # it has no annotations
    copied.record()
    copied.synchronize()
    array = pinned.numpy()
    return array
