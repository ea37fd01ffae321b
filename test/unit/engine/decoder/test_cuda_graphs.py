"""CUDA graphs of the decoder: where the memory of its loops comes from, and what is left after an error.

NeMo's capture and torch's memory pool are played, as there is no GPU here. The tests check the order of the calls.
"""

import sys
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from src.engine.decoder.cuda_graphs import set_up_graphs
from src.engine.decoder.nvrtc import compile_kernel

FULL = "full_graph"
SMALL, LARGE = torch.zeros(1, 20, 4), torch.zeros(8, 150, 4)


class Computer:
    """A decoder with two loops, one within the other, as NeMo captures them."""

    def __init__(self, calls, fails=""):
        self.cuda_graphs_mode = FULL
        self.state = "old"
        self._calls = calls
        self._fails = fails

    def reset_cuda_graphs_state(self):
        self.state = None

    def disable_cuda_graphs(self):
        self.cuda_graphs_mode = None

    def force_cuda_graphs_mode(self, mode):
        self.cuda_graphs_mode = mode

    def _graph_reinitialize(self, frames):
        self.state = tuple(frames.shape)
        assert sys.modules[__name__].run_nvrtc is compile_kernel
        loop = sys.modules[__name__].with_conditional_node
        with loop("outer"):
            self._calls.append("work of the outer loop")
            with loop("inner"):
                self._calls.append("work of the inner loop")
                if self._fails == "inner":
                    raise torch.OutOfMemoryError("no memory")
        if self._fails == "as a whole" and self.cuda_graphs_mode == FULL:
            raise RuntimeError("mode is forced") from OSError("no libnvrtc.so.13")


@contextmanager
def with_conditional_node(name):
    CALLS.append(f"begin {name}")
    torch.cuda.set_stream(name)
    yield SimpleNamespace(cuda_stream=name), "graph"
    CALLS.append(f"end {name}")


def run_nvrtc():
    """Damages Python (see `nvrtc.py`)."""
    raise AssertionError("compile_kernel takes its place")


CALLS: list[str] = []
cudart = SimpleNamespace(cudaStreamEndCapture=lambda stream: CALLS.append(f"give up {stream}"))


@pytest.fixture
def recorded(monkeypatch):
    """The calls to torch and NeMo, in order, and the streams that were current."""
    CALLS.clear()
    streams = ["main"]

    @contextmanager
    def use_mem_pool(pool):
        CALLS.append(f"allocate from {pool}")
        yield
        CALLS.append("allocate as before")

    pools = (f"pool {number}" for number in count(1))
    monkeypatch.setattr(torch.cuda, "MemPool", lambda: next(pools))
    monkeypatch.setattr(torch.cuda, "use_mem_pool", use_mem_pool)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: streams[-1])
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    return SimpleNamespace(calls=CALLS, streams=streams)


def test_the_loops_of_a_graph_allocate_from_a_pool_that_lives_as_long_as_the_graph(recorded):
    computer = Computer(recorded.calls)
    set_up_graphs(computer, "full")
    computer._graph_reinitialize(SMALL)
    assert recorded.calls == [
        "begin outer",
        "allocate from pool 1",
        "work of the outer loop",
        "begin inner",
        "work of the inner loop",
        "end inner",
        "allocate as before",
        "end outer",
    ]
    assert (computer.state, computer.graph_memory) == (SMALL.shape, "pool 1")
    computer._graph_reinitialize(LARGE)
    assert (computer.state, computer.graph_memory) == (LARGE.shape, "pool 2")
    assert sys.modules[__name__].with_conditional_node is with_conditional_node
    assert sys.modules[__name__].run_nvrtc is run_nvrtc


def test_a_graph_that_could_not_be_made_leaves_nothing_behind(recorded):
    computer = Computer(recorded.calls, fails="inner")
    set_up_graphs(computer, "full")
    with pytest.raises(torch.OutOfMemoryError):
        computer._graph_reinitialize(LARGE)
    assert computer.state is None
    assert computer.graph_memory is None
    assert [call for call in recorded.calls if call.startswith("give up")] == ["give up inner", "give up outer"]
    assert recorded.streams[-1] == "main"
    assert sys.modules[__name__].with_conditional_node is with_conditional_node
    assert sys.modules[__name__].run_nvrtc is run_nvrtc


def test_what_could_only_be_captured_in_parts_is_said_and_tried_as_a_whole_the_next_time(recorded, caplog):
    computer = Computer(recorded.calls, fails="as a whole")
    set_up_graphs(computer, "full")
    computer._graph_reinitialize(SMALL)
    assert computer.cuda_graphs_mode == "no_while_loops"
    assert computer.state == SMALL.shape
    assert "no libnvrtc.so.13" in caplog.text
    computer._fails = ""
    computer._graph_reinitialize(LARGE)
    assert computer.cuda_graphs_mode == FULL


def test_a_new_graph_is_for_as_many_clips_and_frames_as_the_one_before(recorded):
    computer = Computer(recorded.calls)
    set_up_graphs(computer, "full")
    for clips, frames, captured in ((8, 30, (8, 30)), (2, 150, (8, 150)), (1, 10, (8, 150)), (9, 20, (9, 150))):
        computer._graph_reinitialize(torch.zeros(clips, frames, 4))
        assert computer.state == (*captured, 4)


def test_where_there_is_no_memory_for_as_many_as_before_the_next_batch_is_tried_by_itself(recorded):
    computer = Computer(recorded.calls)
    set_up_graphs(computer, "full")
    computer._graph_reinitialize(LARGE)
    computer._fails = "inner"
    with pytest.raises(torch.OutOfMemoryError):
        computer._graph_reinitialize(SMALL)
    computer._fails = ""
    computer._graph_reinitialize(SMALL)
    assert computer.state == SMALL.shape


@pytest.mark.parametrize(("mode", "nemos"), [("full", FULL), ("partial", "no_while_loops"), ("off", None)])
def test_each_mode_is_nemos(mode, nemos):
    computer = Computer([])
    set_up_graphs(computer, mode)
    assert computer.cuda_graphs_mode == nemos
