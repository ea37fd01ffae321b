"""A GPU for tests: a CPU that records work and does it again, and that fails where a test says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from src.engine.cuda import Capture, DeviceCopy, Work

GB = 10**9


class FakeGpu:
    """Plays `src.engine.cuda.Cuda`.

    Pinned memory comes full of NaN, as it may. What is sent has arrived only once somebody waits for it. A graph is its
    work, done again on the same memory.

    Args:
        memory_gb: of the card.
        free_gb: how much is free, one number for each time it is asked, the last for all later.
        fail: called with the number of each capture before its work; what it raises is what the capture raises.
        spoil: called after each replay with the number of its capture.
        times_s: what `measure_s` says, in turn; without any, the same for all work, which is not even done.
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
        self.memory_bytes = int(memory_gb * GB)
        self.captured = 0
        self.replays: list[int] = []
        self.sent: list[torch.Tensor] = []
        self._free_gb = list(free_gb)
        self._fail, self._spoil = fail, spoil
        self._times_s = list(times_s)

    @property
    def free_bytes(self) -> int:
        return int(_next(self._free_gb) * GB)

    def allocate_pinned(self, size: int) -> torch.Tensor:
        return torch.full((size,), 255, dtype=torch.uint8)

    def copy_to_device(self, data: torch.Tensor) -> DeviceCopy:
        self.sent.append(data)
        there = torch.full_like(data, 255)
        return DeviceCopy(there, lambda: there.copy_(data))

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
    """Return the first value and take it away, unless it is the last."""
    return values.pop(0) if len(values) > 1 else values[0]
