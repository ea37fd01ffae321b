"""What compiles Triton's kernels, and whether it is there.

Triton comes with PyTorch for CUDA. When a kernel is first used it builds a launcher for it, in C, against Python's own
headers; neither a compiler nor those come with it.
"""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path


def missing() -> str | None:
    """Return what Triton lacks to run kernels here and what to do about it, None where it lacks nothing."""
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton, of the version that belongs to torch)"
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]  # as Triton looks for one
    if not any(map(shutil.which, compilers)):
        return f"there is no C compiler, {' or '.join(compilers)} (apt-get install gcc)"
    header = Path(_includes(), "Python.h")
    if not header.is_file():
        return f"{header} is missing (apt-get install python{sysconfig.get_python_version()}-dev)"
    return None


def _includes() -> str:
    """Return where Triton has the compiler look for Python's headers: on Debian not under /usr/local."""
    scheme = sysconfig.get_default_scheme()
    return sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"]
