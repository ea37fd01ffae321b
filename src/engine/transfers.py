"""Small data on its way to the model's device and back, so that the host waits where it must and nowhere else.

Between pageable memory and a GPU, torch waits for all work that the GPU has; from and to pinned memory it does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def to_device(values: Sequence[Sequence[int]], device: "torch.device") -> "torch.Tensor":
    """Return rows of whole numbers on a device, int64; the host does not wait until they are there."""
    import torch

    numbers = torch.tensor(values, dtype=torch.int64, pin_memory=device.type == "cuda")
    return numbers.to(device, non_blocking=True)


def to_host(data: "torch.Tensor") -> NDArray[Any]:
    """Return what a device has made, or will have made when it is done with the work that the caller's stream has."""
    import torch

    if data.device.type != "cuda":
        there: NDArray[Any] = data.numpy()
        return there
    here = torch.empty(data.shape, dtype=data.dtype, pin_memory=True)
    here.copy_(data, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call] # it has no annotations
    arrived.record()
    arrived.synchronize()
    array: NDArray[Any] = here.numpy()
    return array
