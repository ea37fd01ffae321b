"""Requests that wait at the same time share a call of the network, and each gets its own result."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from src.diarization.embedder import MAX_BATCH, Embedder


class Network:
    """Returns each window's first number. A window of -1 fails, and calls wait while `may_run` is clear."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.may_run = threading.Event()
        self.runs = threading.Event()
        self.may_run.set()

    def embed(self, windows):
        self.runs.set()
        assert self.may_run.wait(60)
        self.calls.append(len(windows))
        if (windows < 0).any():
            raise RuntimeError("it fails")
        return windows[:, 0, :1]


class Waiting(deque):
    """A queue that says when three requests are in it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_three = threading.Event()

    def extend(self, items):
        super().extend(items)
        if len(self) == 3:
            self.has_three.set()


def windows(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)


def embedder_of(network: Any) -> Embedder:
    return Embedder(lambda: network)


@pytest.fixture
def one_call_at_a_time(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def test_requests_that_wait_share_a_call(one_call_at_a_time):
    network = Network()
    embedder = embedder_of(network)
    embedder._waiting = waiting = Waiting()
    network.may_run.clear()
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(embedder.embed, windows(1))
        assert network.runs.wait(60)
        others = [threads.submit(embedder.embed, windows(number, number)) for number in (2, 3, 4)]
        assert waiting.has_three.wait(60)
        network.may_run.set()
        assert first.result(60).tolist() == [[1]]
        assert [other.result(60).tolist() for other in others] == [[[2], [2]], [[3], [3]], [[4], [4]]]
    assert network.calls == [1, 6]


def test_a_large_request_is_several_calls():
    network = Network()
    values = np.arange(2 * MAX_BATCH + 5)
    assert embedder_of(network).embed(windows(*values))[:, 0].tolist() == values.tolist()
    assert network.calls == [MAX_BATCH, MAX_BATCH, 5]


def test_an_error_of_the_network_is_that_of_the_request_and_the_next_one_runs():
    embedder = embedder_of(Network())
    with pytest.raises(RuntimeError, match="it fails"):
        embedder.embed(windows(-1))
    assert embedder.embed(windows(5)).tolist() == [[5]]


def test_the_network_is_loaded_once_and_again_after_a_failure():
    loads = []

    def load() -> Any:
        loads.append(1)
        if len(loads) == 1:
            raise OSError("not there")
        return Network()

    embedder = Embedder(load)
    with pytest.raises(OSError, match="not there"):
        embedder.embed(windows(1))
    for _ in range(3):
        embedder.embed(windows(1))
    assert len(loads) == 2
