"""Small data on its way to a GPU and back, with torch's side played."""

import numpy as np
import torch

from src.engine import transfers


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU."""

    device = torch.device("cuda")


class Host(torch.Tensor):
    """Pinned memory, to which copies are on their way until somebody waits for them."""

    def copy_(self, data, non_blocking=False):
        assert non_blocking
        ON_THEIR_WAY.append(lambda: torch.Tensor.copy_(self, data.as_subclass(torch.Tensor)))
        return self


class Event:
    """A mark in the GPU's work."""

    def record(self):
        self.before = list(ON_THEIR_WAY)

    def synchronize(self):
        for copy in self.before:
            copy()


ON_THEIR_WAY = []


def test_what_a_gpu_has_made_is_read_when_it_has_arrived(monkeypatch):
    empty = torch.empty

    def pinned(shape, *, dtype, pin_memory):
        assert pin_memory
        return empty(shape, dtype=dtype).fill_(-1).as_subclass(Host)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    made = torch.arange(6, dtype=torch.int32).view(2, 3).as_subclass(OnGpu)
    np.testing.assert_array_equal(transfers.to_host(made), [[0, 1, 2], [3, 4, 5]])


def test_numbers_go_to_a_gpu_from_pinned_memory_and_nobody_waits(monkeypatch):
    asked = []

    class Numbers:
        def to(self, device, non_blocking):
            asked.append((device.type, non_blocking))
            return self

    def tensor(values, *, dtype, pin_memory):
        asked.append((values, pin_memory))
        return Numbers()

    monkeypatch.setattr(torch, "tensor", tensor)
    transfers.to_device([[1, 2], [3, 4]], torch.device("cuda"))
    assert asked == [([[1, 2], [3, 4]], True), ("cuda", True)]
