"""A network of its own for a block of a test: the loopback interface and nothing else."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
"""unshare(2)."""
_libc = ctypes.CDLL(None, use_errno=True)


def why_no_namespace() -> str:
    """Return why there can be no network namespace here, as a sentence; empty if there can."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root and `ip netns`"
    tried = subprocess.run(["ip", "netns", "list"], capture_output=True)
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    return "" if tried.returncode == made.returncode == 0 else "network namespaces are not allowed here"


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let the calling thread, and the processes that it starts, see a network that has the loopback interface only.

    Other threads keep theirs. The namespace goes with its last process.
    """
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        _check(_libc.setns(outside, CLONE_NEWNET))
        os.close(outside)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
