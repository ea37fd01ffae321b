"""What was loaded is not searched for garbage; memory goes back to the system after work."""

import gc
import os
import subprocess
import sys
import threading

import pytest
from client import TOP
from fakes import HeldModel
from running_service import serving
from websockets.sync.client import connect

from src.memory.process import CACHE_VARIABLES
from src.settings import Settings

SHAPES = """
from src.memory.process import limit_onednn_caches
limit_onednn_caches()
import torch

layer = torch.nn.Conv1d(16, 16, 9)
with torch.inference_mode():
    for length in [*range(1300, 1500), 1300]:
        layer(torch.zeros(1, 16, length))
"""
"""Runs 200 shapes of input, and then the first one again. Shorter ones do not reach oneDNN."""

FREED = """
import os
from src.memory.process import trim_heap

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

blocks = [bytes([each % 256]) * 2000 for each in range(50_000)]
keep = blocks.pop()
blocks.clear()
full_mb = resident_mb()
trim_heap()
print(full_mb - resident_mb())
"""
"""Prints how much of 100 MB goes back to the system.

Small blocks come from the heap; one that stays on top keeps the allocator from shrinking it by itself.
"""

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


def output_of(program: str, **settings: str) -> str:
    """Run a program in a process of its own, without the service's settings of oneDNN; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (TOP, TOP / "test" / "benches")))}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=TOP,
        env=environment | paths | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def test_freed_heap_goes_back_to_the_system():
    assert float(output_of(FREED)) > 50


def test_memory_for_audio_is_that_of_audio_before():
    assert int(output_of(REUSED)) < 1000, "of 42,000 pages"


def test_shapes_that_were_never_seen_before_are_not_all_kept():
    assert cached(output_of(SHAPES, ONEDNN_VERBOSE="profile_create")) == 0, "the first one has made room for others"
    unlimited = dict.fromkeys(CACHE_VARIABLES, "1024")
    assert cached(output_of(SHAPES, ONEDNN_VERBOSE="profile_create", **unlimited)) == 1


def cached(log: str) -> int:
    """Return how many of the 201 primitives oneDNN has found in its cache."""
    created = [line for line in log.splitlines() if ",create:cache_" in line and ",convolution," in line]
    assert len(created) == 201
    return sum(",create:cache_hit," in line for line in created)


@pytest.mark.parametrize("how", ["session", "upload"])
def test_free_memory_goes_back_also_where_no_batch_has_run(tmp_path, monkeypatch, how):
    """A session that ends without a commit, a file that is refused."""
    trims = threading.Semaphore(0)
    monkeypatch.setattr("src.memory.process.TRIM_PERIOD_S", 0.01)
    monkeypatch.setattr("src.memory.process.trim_heap", trims.release)
    settings = Settings(model_id="tiny", log_dir=tmp_path, realtime_partials=False)  # live text would be a batch
    with serving(settings, lambda _: HeldModel(held=False)) as service:
        if how == "session":
            with connect(f"ws://127.0.0.1:{service.port}/v1/realtime") as client:
                client.send(bytes(320_000))
        else:
            assert service.post(b"ID3" + bytes(500_000), "audio/mpeg").status_code == 400
        assert trims.acquire(timeout=300)
        assert service.scheduler.batches_run == 0


def test_what_is_there_once_the_model_is_loaded_is_not_searched_for_garbage(tmp_path):
    loaded = [HeldModel()]
    gc.unfreeze()
    assert is_searched(loaded)
    with serving(Settings(model_id="tiny", log_dir=tmp_path), lambda _: loaded[0]):
        assert not is_searched(loaded)
        assert is_searched([HeldModel()])


def is_searched(item: list[HeldModel]) -> bool:
    return any(each is item for each in gc.get_objects())
