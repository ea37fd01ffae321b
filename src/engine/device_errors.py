"""Classification of device errors: out of memory, device lost, or one bad batch.

CUDA reports most errors in a later call. After some errors, such as an illegal address, every further CUDA call of the
process fails (CUDA Runtime API, "Error Handling"). Which errors those are differs between CUDA versions, so a small
computation finds out whether the device still responds.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from src.errors import DeviceLost

if TYPE_CHECKING:
    import torch


_OUT_OF_MEMORY = ("allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class MemoryExhausted(Exception):
    """The device lacks the memory for a batch; a smaller batch may fit."""


@contextmanager
def classify_device_errors(device: "torch.device") -> Iterator[None]:
    """Run a block of work on `device`, and raise its errors by their meaning.

    Raises:
        MemoryExhausted: the memory did not suffice; what the block had allocated is free again.
        DeviceLost: the device no longer responds.
        Exception: any other error of the block, unchanged.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            _free_memory(error, device)
            raise MemoryExhausted(one_line(error)) from None
        if not _is_responding(device):
            raise DeviceLost(one_line(error)) from error
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the error, or one that led to it, means that memory did not suffice.

    A lack of memory on a CPU, in CUDA's libraries or for pinned memory is an ordinary RuntimeError, and the end of a
    failed CUDA graph capture may raise an error of its own that hides it.
    """
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(each in str(error) for each in _OUT_OF_MEMORY):
        return True
    cause = error.__cause__ or error.__context__
    return isinstance(cause, Exception) and is_out_of_memory(cause)


def one_line(error: Exception) -> str:
    """Return the type and message of an error in one line of at most about 200 characters, without CUDA's advice."""
    message = str(error).partition("\nSearch for `cuda")[0]
    return f"{type(error).__name__}: {' '.join(message.split())[:200]}".rstrip(".: ")


def _free_memory(error: Exception, device: "torch.device") -> None:
    """Free the tensors that the frames of an error's traceback hold, as a retry needs their memory."""
    import torch

    traceback.clear_frames(error.__traceback__)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _is_responding(device: "torch.device") -> bool:
    """Return whether the device still computes."""
    import torch

    if device.type != "cuda":
        return True
    try:
        is_right = bool(torch.ones(2, device=device).sum().item() == 2)
        torch.cuda.synchronize(device)
    except Exception:
        return False
    return is_right
