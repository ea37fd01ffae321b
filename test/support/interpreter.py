"""Triton's interpreter, which runs kernels without a GPU; it needs a process of its own."""

import os
import subprocess
import sys


def interpreted(*arguments: str) -> str:
    """Run Python with Triton's interpreter instead of its compiler, and return its output."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
