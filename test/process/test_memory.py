"""What was loaded is not searched for garbage; memory goes back to the system after work."""

import gc
import os
import subprocess
import sys
import threading

import pytest
from client import TOP
from fakes import HeldModel
from own_service import resident_mb
from running_service import serving
from websockets.sync.client import connect

from src.memory.process import CACHE_VARIABLES, trim_heap
from src.settings import Settings

SHAPES = """
import os
from own_service import resident_mb
from src.memory.process import limit_onednn_caches, trim_heap
limit_onednn_caches()
import torch

def trimmed_mb():
    trim_heap()
    return resident_mb(os.getpid())

layer = torch.nn.Conv1d(16, 16, 9)
with torch.inference_mode():
    for length in range(1200, 1500):
        layer(torch.zeros(1, 16, length))
    before_mb = trimmed_mb()
    for length in range(1500, 1900):
        layer(torch.zeros(1, 16, length))
    print(trimmed_mb() - before_mb)
"""
"""Prints what 400 more shapes of input have taken for good."""

REUSED = """
import resource, sys
import numpy as np
from src.memory.process import limit_malloc_arenas, keep_freed_blocks
limit_malloc_arenas()
keep_freed_blocks()

def faults():
    for size in sizes:
        np.ones(size, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

sizes = [seconds * 16000 for seconds in (10, 25, 3, 16)] * 50
faults()
print(-faults() + faults())
"""
"""Prints how many pages have been paged in for the audio of 200 clips."""


def test_freed_heap_goes_back_to_the_system():
    # Small blocks come from the heap; one that stays on top keeps the allocator from shrinking it by itself.
    blocks = [bytes([each % 256]) * 2000 for each in range(50_000)]
    keep = blocks.pop()
    full_mb = resident_mb(os.getpid())
    blocks.clear()
    trim_heap()
    assert resident_mb(os.getpid()) < full_mb - 50
    assert keep


def test_memory_for_audio_is_that_of_audio_before():
    run = subprocess.run([sys.executable, "-c", REUSED], cwd=TOP, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1000, "of 42,000 pages"


@pytest.mark.parametrize("how", ["session", "upload"])
def test_free_memory_goes_back_also_where_no_batch_has_run(tmp_path, monkeypatch, how):
    """A session that ends without a commit, a file that is refused."""
    trims = threading.Semaphore(0)
    monkeypatch.setattr("src.memory.process.TRIM_PERIOD_S", 0.01)
    monkeypatch.setattr("src.memory.process.trim_heap", trims.release)
    with serving(Settings(model_id="tiny", log_dir=tmp_path), lambda _: HeldModel()) as service:
        assert not trims.acquire(timeout=0.05), "there was no work yet"
        if how == "session":
            with connect(f"ws://127.0.0.1:{service.port}/v1/realtime") as client:
                client.send(bytes(320_000))
        else:
            assert service.post(b"ID3" + bytes(500_000), "audio/mpeg").status_code == 400
        assert trims.acquire(timeout=300)


def test_what_is_there_once_the_model_is_loaded_is_not_searched_for_garbage(tmp_path):
    loaded = [HeldModel()]
    gc.unfreeze()
    assert is_searched(loaded)
    with serving(Settings(model_id="tiny", log_dir=tmp_path), lambda _: loaded[0]):
        assert not is_searched(loaded)
        assert is_searched([HeldModel()])


def is_searched(item: list[HeldModel]) -> bool:
    return any(each is item for each in gc.get_objects())


def test_lengths_that_were_never_seen_before_take_no_memory_for_good():
    assert grown_mb() < 5
    assert grown_mb(dict.fromkeys(CACHE_VARIABLES, "1024")) > 10


def grown_mb(settings: dict[str, str] | None = None) -> float:
    """Return what new shapes take in a process of its own, with oneDNN's settings or the service's."""
    environment = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    paths = {"PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'test'}"}
    run = subprocess.run(
        [sys.executable, "-c", SHAPES],
        cwd=TOP,
        env=environment | paths | (settings or {}),
        capture_output=True,
        check=True,
    )
    return float(run.stdout)
