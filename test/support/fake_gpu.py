"""A GPU for tests: it records work on the CPU, repeats it as a graph's replay, and fails if a test says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from src.engine.cuda import Capture, DeviceCopy, Gpu, Work

GB = 10**9


class FakeGpu(Gpu):
    """A `Gpu` on the CPU.

    Pinned memory is full of NaN, as undefined memory may be. A copy has no data before somebody waits for it. A graph
    repeats its work on the same memory.

    Args:
        memory_gb: size of the memory.
        free_gb: free memory, one number for each time it is asked for; the last stays for all later.
        fail: called with the number of each capture before its work; the capture raises what it raises.
        spoil: called after each replay with the number of its capture.
        times_s: results of `measure_s`, in turn; if empty, it returns one result for all work and does not run it.
    """

    def __init__(
        self,
        *,
        memory_gb: float = 80,
        free_gb: tuple[float, ...] = (60,),
        fail: Callable[[int], None] = lambda _: None,
        spoil: Callable[[int], None] = lambda _: None,
        times_s: tuple[float, ...] = (),
    ) -> None:
        self.captured = 0
        self.replays: list[int] = []
        self.copied: list[torch.Tensor] = []
        self._memory_gb = memory_gb
        self._free_gb = list(free_gb)
        self._fail, self._spoil = fail, spoil
        self._times_s = list(times_s)

    @property
    def memory_bytes(self) -> int:
        return int(self._memory_gb * GB)

    @property
    def free_bytes(self) -> int:
        return int(_next(self._free_gb) * GB)

    def allocate_pinned(self, size: int) -> torch.Tensor:
        return torch.full((size,), 255, dtype=torch.uint8)

    def copy_to_device(self, data: torch.Tensor) -> DeviceCopy:
        self.copied.append(data)
        copy = torch.full_like(data, 255)
        return DeviceCopy(copy, lambda: copy.copy_(data))

    @contextmanager
    def capturing(self) -> Iterator[Capture]:
        def capture(work: Work) -> Work:
            number = self.captured
            self.captured += 1
            self._fail(number)

            def replay() -> None:
                self.replays.append(number)
                work()
                self._spoil(number)

            return replay

        yield capture

    def measure_s(self, work: Work) -> float:
        if not self._times_s:
            return 1e-3
        work()
        return _next(self._times_s)


def _next(values: list[float]) -> float:
    """Remove and return the first value; the last stays."""
    return values.pop(0) if len(values) > 1 else values[0]
