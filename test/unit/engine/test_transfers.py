"""Copies between the host and a GPU, whose side of torch is replaced here."""

import numpy as np
import torch

from src.engine import transfers


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU."""

    device = torch.device("cuda")


class Pinned(torch.Tensor):
    """Pinned memory, to which copies are pending until somebody waits for them."""

    def copy_(self, data, non_blocking=False):
        assert non_blocking
        PENDING.append(lambda: torch.Tensor.copy_(self, data.as_subclass(torch.Tensor)))
        return self


class Event:
    """An event in the GPU's work."""

    def record(self):
        self.before = list(PENDING)

    def synchronize(self):
        for copy in self.before:
            copy()


PENDING = []


def test_a_tensor_on_a_gpu_is_read_after_its_copy_is_done(monkeypatch):
    empty = torch.empty

    def pinned(shape, *, dtype, pin_memory):
        assert pin_memory
        return empty(shape, dtype=dtype).fill_(-1).as_subclass(Pinned)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    made = torch.arange(6, dtype=torch.int32).view(2, 3).as_subclass(OnGpu)
    [copied] = transfers.to_host([made])
    np.testing.assert_array_equal(copied, [[0, 1, 2], [3, 4, 5]])


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


def test_on_a_cpu_data_is_where_it_is_needed():
    numbers = transfers.to_device([[1, 2], [3, 4]], torch.device("cpu"))
    assert numbers.dtype == torch.int64
    np.testing.assert_array_equal(transfers.to_host([numbers])[0], [[1, 2], [3, 4]])


def test_tensors_of_several_kinds_come_to_the_host_in_one_copy(monkeypatch):
    copies = []
    cat = torch.cat
    monkeypatch.setattr(torch, "cat", lambda tensors: copies.append(len(tensors)) or cat(tensors))
    sent = [torch.arange(6, dtype=torch.int32).view(3, 2).T, torch.ones(1, 1), torch.arange(5, dtype=torch.uint8)]
    for tensor, array in zip(sent, transfers.to_host(sent), strict=True):
        np.testing.assert_array_equal(array, tensor.numpy(), strict=True)
    assert copies == [3]
