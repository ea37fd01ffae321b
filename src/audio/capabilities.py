"""Give up the capabilities of a process: what the kernel lets root do and nobody else (capabilities(7))."""

import ctypes
import os
import struct
from pathlib import Path

VERSION_3, THIS_PROCESS = 0x20080522, 0
"""struct __user_cap_header_struct (linux/capability.h): the version with 64 bits for each set of capabilities."""
NO_CAPABILITIES = bytes(24)
"""Two of struct __user_cap_data_struct: empty sets of effective, permitted and inheritable capabilities."""


def drop_all() -> None:
    """Give up all capabilities of this thread, if it has any. Until it executes a program, this cannot be undone.

    Raises:
        OSError: they cannot be given up. The kernel itself never refuses; a filter around the service may.
    """
    if not _has_any():
        return  # such a filter may also end the process
    header = ctypes.create_string_buffer(struct.pack("=Ii", VERSION_3, THIS_PROCESS))
    if ctypes.CDLL(None, use_errno=True).capset(header, NO_CAPABILITIES):
        reason = ctypes.get_errno()
        raise OSError(reason, os.strerror(reason))


def _has_any() -> bool:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return any(int(status[name], 16) for name in ("CapPrm", "CapInh"))
