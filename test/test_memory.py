"""What was loaded is not searched for garbage; memory goes back to the system after work."""

import gc
import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import serving
from fakes import HeldModel

from src.memory import CACHE_VARIABLES, trim
from src.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
SHAPES = """
import re
from pathlib import Path
from src.memory import bound_caches, trim
bound_caches()
import torch

def resident_kb():
    trim()
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

layer = torch.nn.Conv1d(16, 16, 9)
with torch.inference_mode():
    for length in range(1200, 1500):
        layer(torch.zeros(1, 16, length))
    before_kb = resident_kb()
    for length in range(1500, 1900):
        layer(torch.zeros(1, 16, length))
    print(resident_kb() - before_kb)
"""
"""Prints what 400 more shapes of input have taken for good."""


def resident_kb() -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def test_freed_heap_goes_back_to_the_system():
    # Small blocks come from the heap; one that stays on top keeps the allocator from shrinking it by itself.
    blocks = [bytes([each % 256]) * 2000 for each in range(50_000)]
    keep = blocks.pop()
    full = resident_kb()
    blocks.clear()
    trim()
    assert resident_kb() < full - 50_000
    assert keep


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
    assert grown_kb() < 5_000
    assert grown_kb(dict.fromkeys(CACHE_VARIABLES, "1024")) > 10_000


def grown_kb(settings: dict[str, str] | None = None) -> int:
    """Return what new shapes take in a process of its own, with oneDNN's settings or the service's."""
    environment = {name: value for name, value in os.environ.items() if name not in CACHE_VARIABLES}
    run = subprocess.run(
        [sys.executable, "-c", SHAPES], cwd=PROJECT, env=environment | (settings or {}), capture_output=True, check=True
    )
    return int(run.stdout)
