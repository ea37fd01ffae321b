"""The calls to torch that capture graphs, copy data and measure time on a GPU, and their order.

There is no GPU here, so torch's functions are replaced by ones that record their calls.
"""

import gc
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from src.engine.cuda import Cuda, configure_device

DEVICE = torch.device("cpu")  # tensors need a device that exists


class Stream:
    """A stream that records its calls."""

    made = 0

    def __init__(self, device) -> None:
        Stream.made += 1
        self.name = f"stream {Stream.made}"

    def wait_stream(self, other) -> None:
        CALLS.append(f"{self} waits for {other}")

    def wait_event(self, event) -> None:
        CALLS.append(f"{self} waits for {event}")

    def record_event(self) -> str:
        CALLS.append(f"event on {self}")
        return f"the event on {self}"

    def __str__(self) -> str:
        return self.name


class Graph:
    def replay(self) -> None:
        CALLS.append("replay")


CALLS: list[str] = []


@pytest.fixture
def calls(monkeypatch):
    """The recorded calls, in order."""
    CALLS.clear()
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
        CALLS.append(f"capture from {pool} on {stream}, errors {capture_error_mode}")
        yield
        CALLS.append("captured")

    def to(data, device, non_blocking):
        CALLS.append(f"copy on {current[-1]}, {'beside' if non_blocking else 'waiting'}")
        return SimpleNamespace(record_stream=lambda stream: CALLS.append(f"keep for {stream}"))

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "the pool")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 8))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: CALLS.append("release the cache"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: CALLS.append("wait for the device"))
    monkeypatch.setattr(torch.Tensor, "to", to)

    def end(device, pool):
        CALLS.append(f"no more from {pool} on {device}")
        raise RuntimeError("not currently recording to mempool_id")

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)  # torch for CPUs has none
    return CALLS


def test_a_gpu_computes_float32_in_full_precision_and_attention_without_a_plan_for_each_shape(monkeypatch):
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


def test_graphs_are_captured_from_one_pool_on_one_stream_in_order_with_the_work_around_it(calls):
    with Cuda(DEVICE).capturing() as capture:
        calls.append("work as usual")
        replays = [capture(lambda name=name: calls.append(name)) for name in ("large", "small")]
    replays[1]()
    begin = "capture from the pool on stream 3, errors thread_local"
    assert calls == [
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


def test_garbage_collection_pauses_while_graphs_are_captured(calls):
    frozen = gc.get_freeze_count()
    with Cuda(DEVICE).capturing():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 10_000
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen


def test_a_failed_capture_leaves_the_stream_and_the_garbage_collection_as_they_were(calls):
    def work() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"), Cuda(DEVICE).capturing() as capture:
        capture(work)
    assert calls[-2:] == ["no more from the pool on 0", "stream 1 waits for stream 3"]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(calls):
    gc.disable()
    try:
        with Cuda(DEVICE).capturing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_data_is_copied_on_a_separate_stream_and_only_the_device_waits_for_it(calls):
    copy = Cuda(DEVICE).copy_to_device(torch.zeros(1))
    assert calls == ["copy on stream 2, beside", "event on stream 2"]
    copy.wait()
    assert calls[2:] == ["stream 1 waits for the event on stream 2", "keep for stream 1"]


def test_memory_that_torch_only_caches_counts_as_free(calls):
    gpu = Cuda(DEVICE)
    assert (gpu.memory_bytes, calls) == (8, [])
    assert (gpu.free_bytes, calls) == (3, ["release the cache"])


def test_time_is_measured_from_one_synchronisation_to_the_next(calls):
    assert Cuda(DEVICE).measure_s(lambda: calls.append("work")) >= 0
    assert calls == ["wait for the device", "work", "wait for the device"]


def test_pinned_memory_comes_from_torch(calls, monkeypatch):
    monkeypatch.setattr(torch, "empty", lambda size, dtype, pin_memory: (size, dtype, pin_memory))
    assert Cuda(DEVICE).allocate_pinned(10) == (10, torch.uint8, True)
