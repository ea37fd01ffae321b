"""Memory goes back to the system after work."""

import re
from pathlib import Path

from src.memory import trim


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
