"""How much memory a process has in use, as it tells itself.

Others see only its resident memory, which also holds what is free between used blocks. With the bundled model that is
10 to 40 MB just after the heap was trimmed and 100 MB in between, and it depends on which blocks happen to be free. In
a run of 28 minutes in which nothing was added, ten minutes of resident memory had slopes from -3.2 to 0.3 MB a minute,
and of memory in use from 0.0 to 0.1.
"""

import ctypes
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PERIOD_S = 1.0
PYTHON_BLOCK_BYTES = 53
"""Mean size of what Python allocates by itself, as the loaded service's three million such blocks take 160 MB."""


@dataclass(frozen=True)
class InUse:
    """The memory that a process had in use at one time (`time.monotonic`)."""

    at_s: float
    pid: int
    mb: float


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]


def in_use_mb() -> float | None:
    """Return the memory that this process has in use, in MB; None if the C library is not glibc 2.33 or newer."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return None
    mallinfo.restype = _MallInfo
    info: _MallInfo = mallinfo()
    python_bytes = sys.getallocatedblocks() * PYTHON_BLOCK_BYTES
    return float(info.uordblks + info.hblkhd + python_bytes) / 1e6


def keep_writing(path: Path) -> None:
    """Append the memory in use to a file from now on, a line each second, in a thread; nothing if it is not known."""
    if in_use_mb() is not None:
        threading.Thread(target=_keep_writing, args=(path,), daemon=True).start()


def read(path: Path) -> list[InUse]:
    """Return what processes have written to a file, but for an unfinished last line; nothing if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    values = [line.split() for line in lines if line.endswith("\n")]
    return [InUse(float(at_s), int(pid), float(mb)) for at_s, pid, mb in values]


def _keep_writing(path: Path) -> None:
    with path.open("a", buffering=1) as file:
        while True:
            file.write(f"{time.monotonic():.3f} {os.getpid()} {in_use_mb():.3f}\n")
            time.sleep(PERIOD_S)
