"""The operations of a GPU that the encoder's CUDA graphs need: capture and replay, copies, free memory, timing.

`graphed_encoder` and `staging` use CUDA only through the protocol `Gpu`, so tests can run them on a CPU with a fake.
This file loads torch; it is imported when a model is loaded.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from src.memory.process import gc_paused

Work = Callable[[], Any]
"""Launches device work. The tensors that it uses must keep their addresses as long as it may be replayed."""
Capture = Callable[[Work], Work]
"""Records work without running it, and returns a function that replays it."""


@dataclass(frozen=True, slots=True)
class DeviceCopy:
    """A copy to the device that is under way."""

    data: torch.Tensor
    """The destination, on the device."""
    wait: Work
    """Makes device work that the calling thread launches later wait for the copy; does not block the thread."""


class Gpu(Protocol):
    """The operations of a GPU that CUDA graphs need."""

    @property
    def memory_bytes(self) -> int:
        """Size of the GPU's memory."""

    @property
    def free_bytes(self) -> int:
        """Memory that is not in use."""

    def allocate_pinned(self, size: int) -> torch.Tensor:
        """Return `size` bytes of pinned host memory, uint8, undefined; `copy_to_device` reads it asynchronously."""

    def copy_to_device(self, data: torch.Tensor) -> DeviceCopy:
        """Start a copy of pinned memory to the device, in parallel with its other work; any thread may call it."""

    def capturing(self) -> AbstractContextManager[Capture]:
        """Return a context in which graphs can be captured.

        The graphs share memory, so no two may run at the same time. Other device work that the block launches runs
        as usual, in order with the work before and after the block.
        """

    def measure_s(self, work: Work) -> float:
        """Run the work and return the seconds that the device took; blocks until it and all work before are done."""


def configure_device(device: torch.device) -> None:
    """Make a GPU the calling thread's current device, and set the precision and attention backend for all threads."""
    torch.cuda.set_device(device)  # Triton and parts of NeMo use only the current device
    # A user who chooses float32 wants its precision. TF32, which torch allows for convolutions and LSTMs, has 10 bits
    # of mantissa, as float16 has.
    torch.backends.cudnn.allow_tf32 = False
    # On Hopper torch prefers cuDNN's attention, which is compiled for each new shape.
    torch.backends.cuda.enable_cudnn_sdp(False)


class Cuda:
    """A CUDA device as a `Gpu`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copy_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # it has no annotations

    @property
    def memory_bytes(self) -> int:
        """Size of the GPU's memory."""
        return torch.cuda.mem_get_info(self._device)[1]

    @property
    def free_bytes(self) -> int:
        """Memory that no process uses; memory that torch only caches is released first, so it counts as free."""
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self._device)[0]

    def allocate_pinned(self, size: int) -> torch.Tensor:
        """Return pinned memory from torch's cache."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def copy_to_device(self, data: torch.Tensor) -> DeviceCopy:
        """Copy on a separate stream; torch does not reuse the pinned memory before the copy is done."""
        with torch.cuda.stream(self._copy_stream):
            copy = data.to(self._device, non_blocking=True)
            copied = self._copy_stream.record_event()

        def wait() -> None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(copied)
            copy.record_stream(stream)  # keeps the memory from being reused before that stream has read it

        return DeviceCopy(copy, wait)

    @contextmanager
    def capturing(self) -> Iterator[Capture]:
        """Capture on one stream, with memory from one pool.

        The error mode is `thread_local`, as other threads may call CUDA meanwhile, for example to pin memory.
        """
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call] # as above
        pool = torch.cuda.graph_pool_handle()

        def capture(work: Work) -> Work:
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                    work()
            except BaseException:
                self._end_capture(pool)
                raise
            return graph.replay

        callers_stream = torch.cuda.current_stream(self._device)
        stream.wait_stream(callers_stream)
        with _gc_frozen():
            try:
                with torch.cuda.stream(stream):
                    yield capture
            finally:
                callers_stream.wait_stream(stream)

    def _end_capture(self, pool: Any) -> None:
        """Make torch end a capture that failed.

        If CUDA itself has aborted a capture, torch before 2.13 (pytorch/pytorch#180395) still counts it as running: it
        captures nothing more from this pool, and never frees memory that more than one stream has used.
        """
        with suppress(RuntimeError):  # torch has ended the capture already
            torch._C._cuda_endAllocateToPool(self._device.index or 0, pool)

    def measure_s(self, work: Work) -> float:
        """Measure from one synchronisation with the device to the next."""
        torch.cuda.synchronize(self._device)
        started = time.perf_counter()
        work()
        torch.cuda.synchronize(self._device)
        return time.perf_counter() - started


@contextmanager
def _gc_frozen() -> Iterator[None]:
    """Collect garbage once before the block, and never within it.

    Collecting a CUDA graph during a capture would break the capture. And torch before 2.9 collects garbage before each
    capture, which takes 0.4 s with a model loaded unless the objects are frozen.
    """
    gc.collect()
    with gc_paused():
        gc.freeze()
        try:
            yield
        finally:
            gc.unfreeze()
