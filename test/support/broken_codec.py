"""A decoder that hostile files have taken over: in decode workers, it runs the program that a file contains.

`taken_over` installs it in the workers of sandboxes that are made afterwards. A program defines `attempt`, which is
called instead of decoding. If `attempt` returns, it has done what it should not be able to do, and the file gets audio,
so the answer is 200.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MARK = b"\xff\xfbPROGRAM"
"""The start of such a file; the rest is Python."""

BEFORE = """
import ctypes, os, resource, signal, socket, sys, threading, time
import numpy as np
from src.errors import InvalidAudio

libc = ctypes.CDLL(None, use_errno=True)
SECOND = np.full(16_000, 0.1, np.float32)

def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def answer(message):
    'Reply in place of the worker.'
    frame = sys._getframe()
    while 'connection' not in frame.f_locals:
        frame = frame.f_back
    os.write(frame.f_locals['connection'], message)
"""


def program(attempt: str) -> bytes:
    """Return a file that runs `attempt`, the body of a function, in its worker."""
    body = "\n".join("    " + line for line in attempt.strip().splitlines())
    return MARK + f"{BEFORE}\ndef attempt():\n{body}\n".encode()


def taken_over(folder: Path, setenv: Callable[[str, str], None], also: str = "") -> None:
    """Make workers that are started from now on run such programs; `also` is Python for their parent."""
    (folder / "sitecustomize.py").write_text(f"import broken_codec\nbroken_codec.take_over()\n{also}\n")
    setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parent)]))


def take_over() -> None:
    """Replace the decoder of this process, if it is the parent of decode workers."""
    if "src.audio.worker" not in " ".join(sys.orig_argv):
        return
    from src.audio import decode

    vars(decode)["decode_blocks"] = _run_or(decode.decode_blocks)


def _run_or(real: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def decode_blocks(data: bytes, **options: Any) -> Iterator[Any]:
        if not data.startswith(MARK):
            yield from real(data, **options)
            return
        names: dict[str, Any] = {}
        exec(data.removeprefix(MARK), names)
        outcome = names["attempt"]()
        if hasattr(outcome, "__next__"):
            yield from outcome
        else:
            yield np.full(16_000, 0.1, np.float32)

    return decode_blocks
