"""Tell what it means that a device raised: too little memory, lost for good, or one bad batch.

CUDA reports most errors at some later call, and after some of them, such as an illegal access, every further call of
the process fails (CUDA Runtime API, "Error Handling"). Which they are differs between versions, so the device is asked.
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
    """The device has no memory for a batch; a smaller one may do."""


@contextmanager
def classify_device_errors(device: "torch.device") -> Iterator[None]:
    """Run the block, work on `device`, and give its errors their meaning.

    Raises:
        MemoryExhausted: there was too little memory; what the block held of it is free again.
        DeviceLost: the device answers to nothing any more.
        Exception: what else the block raises, as it is.
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
    """Return whether torch raised this, or what led to it, for want of memory.

    On a CPU, in CUDA's libraries and in pinned memory that is an ordinary RuntimeError; and what ends a CUDA graph's
    capture may hide it.
    """
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(each in str(error) for each in _OUT_OF_MEMORY):
        return True
    before = error.__cause__ or error.__context__
    return isinstance(before, Exception) and is_out_of_memory(before)


def one_line(error: Exception) -> str:
    """Return kind and message of an error in one line of bounded length; CUDA's has advice behind the first line."""
    message = str(error).partition("\nSearch for `cuda")[0]
    return f"{type(error).__name__}: {' '.join(message.split())[:200]}".rstrip(".: ")


def _free_memory(error: Exception, device: "torch.device") -> None:
    """Free what the frames hold that the error went through: a retry needs the memory."""
    import torch

    traceback.clear_frames(error.__traceback__)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _is_responding(device: "torch.device") -> bool:
    """Whether the device still computes."""
    import torch

    if device.type != "cuda":
        return True
    try:
        is_right = bool(torch.ones(2, device=device).sum().item() == 2)
        torch.cuda.synchronize(device)
    except Exception:
        return False
    return is_right
