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


def to_host(tensors: Sequence["torch.Tensor"]) -> list[NDArray[Any]]:
    """Return tensors of one device as arrays on the host, copied at once; those of smaller elements must come last.

    On a GPU this waits for the work that the caller's stream has launched, and for no other.
    """
    import torch

    data = torch.cat([each.contiguous().flatten().view(torch.uint8) for each in tensors])
    if data.device.type == "cuda":
        data = _to_pinned(data)
    pieces = torch.split(data, [each.nbytes for each in tensors])
    return [piece.view(each.dtype).view(each.shape).numpy() for piece, each in zip(pieces, tensors, strict=True)]


def _to_pinned(data: "torch.Tensor") -> "torch.Tensor":
    """Return a copy of data in pinned memory of the host, once it is there."""
    import torch

    pinned = torch.empty(data.shape, dtype=data.dtype, pin_memory=True)
    pinned.copy_(data, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call] # it has no annotations
    copied.record()
    copied.synchronize()
    return pinned
