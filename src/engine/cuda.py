"""What CUDA graphs need of a GPU: to capture and replay work, to bring in data, to tell memory and time.

It is all that `encoder_graphs` and `staging` know of CUDA, so that tests can play a GPU on a CPU. This file loads
torch; it is imported when a model is loaded.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Work = Callable[[], Any]
"""Work for the device. What it reads and writes must stay where it is as long as it may be repeated."""
Capture = Callable[[Work], Work]
"""Records work and returns what replays it. The record begins by itself; the work is not done by that."""


@dataclass(frozen=True, slots=True)
class DeviceCopy:
    """Data on its way to the device."""

    data: torch.Tensor
    """Where it arrives."""
    wait: Work
    """Have the work that the calling thread gives to the device from now on wait for it. The thread itself does not."""


class Gpu(Protocol):
    """What graphs ask of a GPU."""

    @property
    def memory_bytes(self) -> int:
        """The memory that it has."""

    @property
    def free_bytes(self) -> int:
        """The memory that nobody has taken."""

    def allocate_pinned(self, size: int) -> torch.Tensor:
        """Return `size` bytes of host memory, uint8, that `copy_to_device` copies without the host's help."""

    def copy_to_device(self, data: torch.Tensor) -> DeviceCopy:
        """Begin to copy pinned memory to the device, beside the work that it has; any thread may do so."""

    def capturing(self) -> AbstractContextManager[Capture]:
        """Let the block capture graphs, which share memory: none may be replayed while another runs.

        Work that the block gives to the device otherwise is done, in order with what is around the block.
        """

    def measure_s(self, work: Work) -> float:
        """Do the work and return how long the device took; waits for it, and for all before."""


def configure_device(device: torch.device) -> None:
    """Make a GPU the calling thread's current one, and settle how torch computes on it in all threads."""
    torch.cuda.set_device(device)  # some of NeMo, and Triton, know no other than the current one
    # Who chooses float32 wants its digits. TF32 has those of float16; torch lets convolutions and LSTMs use it.
    torch.backends.cudnn.allow_tf32 = False
    # On Hopper torch prefers cuDNN's attention, which is compiled for each shape when that first comes.
    torch.backends.cuda.enable_cudnn_sdp(False)


class Cuda:
    """A GPU of CUDA's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._incoming = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # it has no annotations

    @property
    def memory_bytes(self) -> int:
        """The memory of the card."""
        return torch.cuda.mem_get_info(self._device)[1]

    @property
    def free_bytes(self) -> int:
        """The memory that neither torch nor another process holds."""
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self._device)[0]

    def allocate_pinned(self, size: int) -> torch.Tensor:
        """Return pinned memory, of torch's cache of it."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def copy_to_device(self, data: torch.Tensor) -> DeviceCopy:
        """Copy on a stream of its own; torch keeps the pinned memory until it is read."""
        with torch.cuda.stream(self._incoming):
            arriving = data.to(self._device, non_blocking=True)
            arrived = self._incoming.record_event()

        def wait() -> None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(arrived)
            arriving.record_stream(stream)  # its memory must not be reused before that stream has read it

        return DeviceCopy(arriving, wait)

    @contextmanager
    def capturing(self) -> Iterator[Capture]:
        """Capture on one stream, from one pool.

        Other threads may call CUDA meanwhile, as to pin memory, hence `thread_local`.
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

        around = torch.cuda.current_stream(self._device)
        stream.wait_stream(around)
        with _garbage_left_alone():
            try:
                with torch.cuda.stream(stream):
                    yield capture
            finally:
                around.wait_stream(stream)

    def _end_capture(self, pool: Any) -> None:
        """Have torch count a capture that failed as ended.

        Where CUDA itself has called a capture off, torch before 2.13 (pytorch/pytorch#180395) goes on counting it: it
        captures nothing more from this pool, and keeps all memory that more than one stream has used for ever.
        """
        with suppress(RuntimeError):  # it did count it as ended
            torch._C._cuda_endAllocateToPool(self._device.index or 0, pool)

    def measure_s(self, work: Work) -> float:
        """Measure from one wait for the device to the next."""
        torch.cuda.synchronize(self._device)
        started = time.perf_counter()
        work()
        torch.cuda.synchronize(self._device)
        return time.perf_counter() - started


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """Collect garbage once, before the block, and none within it.

    A graph among the garbage would break a capture that is under way. And torch before 2.9 collects before each
    capture, which takes 0.4 s with a model loaded, unless what is there is exempt.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
