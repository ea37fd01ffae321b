"""What was loaded is not searched for garbage; memory goes back to the system after work."""

import gc
import re
from pathlib import Path

from conftest import serving
from fakes import HeldModel

from src.memory import trim
from src.settings import Settings


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
