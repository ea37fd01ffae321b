"""Check for what Triton needs to compile kernels: the package, a C compiler and Python's headers.

Triton comes with PyTorch for CUDA. At a kernel's first use it compiles a launcher in C against Python's headers. It
brings neither a compiler nor the headers.
"""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path


def missing() -> str | None:
    """Return what Triton lacks on this machine and how to install it, None if it lacks nothing."""
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton, of the version that belongs to torch)"
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]  # Triton's own search order
    if not any(map(shutil.which, compilers)):
        return f"there is no C compiler, {' or '.join(compilers)} (apt-get install gcc)"
    header = Path(_includes(), "Python.h")
    if not header.is_file():
        return f"{header} is missing (apt-get install python{sysconfig.get_python_version()}-dev)"
    return None


def _includes() -> str:
    """Return the folder in which Triton expects Python's headers: on Debian it is not under /usr/local."""
    scheme = sysconfig.get_default_scheme()
    return sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"]
