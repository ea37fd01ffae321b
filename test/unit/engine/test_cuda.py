"""How a GPU is asked to capture, to copy and to measure.

There is none here, so torch's side is played; what is held is what it is asked, and in which order.
"""

import gc
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from src.engine.cuda import Cuda, configure_device

DEVICE = torch.device("cpu")  # as far as tensors go


class Stream:
    """A stream that says what is asked of it."""

    made = 0

    def __init__(self, device) -> None:
        Stream.made += 1
        self.name = f"stream {Stream.made}"

    def wait_stream(self, other) -> None:
        TOLD.append(f"{self} waits for {other}")

    def wait_event(self, event) -> None:
        TOLD.append(f"{self} waits for {event}")

    def record_event(self) -> str:
        TOLD.append(f"mark on {self}")
        return f"the mark on {self}"

    def __str__(self) -> str:
        return self.name


class Graph:
    def replay(self) -> None:
        TOLD.append("replay")


TOLD: list[str] = []


@pytest.fixture
def told(monkeypatch):
    """What was asked of torch, in order."""
    TOLD.clear()
    Stream.made = 0
    current = [Stream(DEVICE)]

    @contextmanager
    def stream(chosen):
        current.append(chosen)
        try:
            yield
        finally:
            current.pop()

    @contextmanager
    def graph(graph, *, pool, stream, capture_error_mode):
        TOLD.append(f"capture from {pool} on {stream}, errors {capture_error_mode}")
        yield
        TOLD.append("captured")

    def to(data, device, non_blocking):
        TOLD.append(f"copy on {current[-1]}, {'beside' if non_blocking else 'waiting'}")
        return SimpleNamespace(record_stream=lambda stream: TOLD.append(f"keep for {stream}"))

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "the pool")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 8))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: TOLD.append("give back"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: TOLD.append("wait for the device"))
    monkeypatch.setattr(torch.Tensor, "to", to)

    def end(device, pool):
        TOLD.append(f"no more from {pool} on {device}")
        raise RuntimeError("not currently recording to mempool_id")

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)  # torch for CPUs has none
    return TOLD


def test_a_gpu_computes_float32_in_all_its_digits_and_attention_without_a_plan_for_each_shape(monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.cudnn_sdp_enabled()
    try:
        configure_device(DEVICE)
        assert current == [DEVICE]
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cudnn.allow_tf32, enabled = before
        torch.backends.cuda.enable_cudnn_sdp(enabled)


def test_graphs_are_captured_from_one_pool_on_one_stream_that_others_neither_disturb_nor_run_ahead_of(told):
    with Cuda(DEVICE).capturing() as capture:
        told.append("work as usual")
        replays = [capture(lambda name=name: told.append(name)) for name in ("large", "small")]
    replays[1]()
    begin = "capture from the pool on stream 3, errors thread_local"
    assert told == [
        "stream 3 waits for stream 1",
        "work as usual",
        begin,
        "large",
        "captured",
        begin,
        "small",
        "captured",
        "stream 1 waits for stream 3",
        "replay",
    ]


def test_while_graphs_are_captured_no_garbage_is_collected_and_afterwards_it_is_again(told):
    frozen = gc.get_freeze_count()
    with Cuda(DEVICE).capturing():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 10_000
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen


def test_a_capture_that_fails_leaves_the_stream_and_the_garbage_collection_as_they_were(told):
    def work() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"), Cuda(DEVICE).capturing() as capture:
        capture(work)
    assert told[-2:] == ["no more from the pool on 0", "stream 1 waits for stream 3"]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(told):
    gc.disable()
    try:
        with Cuda(DEVICE).capturing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_data_is_copied_on_a_stream_of_its_own_and_waited_for_by_the_device_alone(told):
    arriving = Cuda(DEVICE).copy_to_device(torch.zeros(1))
    assert told == ["copy on stream 2, beside", "mark on stream 2"]
    arriving.wait()
    assert told[2:] == ["stream 1 waits for the mark on stream 2", "keep for stream 1"]


def test_memory_that_torch_keeps_for_later_counts_as_free(told):
    gpu = Cuda(DEVICE)
    assert (gpu.memory_bytes, told) == (8, [])
    assert (gpu.free_bytes, told) == (3, ["give back"])


def test_time_is_taken_from_one_wait_for_the_device_to_the_next(told):
    assert Cuda(DEVICE).measure_s(lambda: told.append("work")) >= 0
    assert told == ["wait for the device", "work", "wait for the device"]


def test_pinned_memory_is_asked_of_torch(told, monkeypatch):
    monkeypatch.setattr(torch, "empty", lambda size, dtype, pin_memory: (size, dtype, pin_memory))
    assert Cuda(DEVICE).allocate_pinned(10) == (10, torch.uint8, True)
