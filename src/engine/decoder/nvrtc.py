"""Compilation of a CUDA kernel from its source, without NeMo's `run_nvrtc`, which damages Python.

`run_nvrtc` lets NVRTC write the compiler's log into `b" " * size`. The log of a kernel without warnings has one byte,
its end, and Python has only one object for all byte strings of one space. So from then on `b" "` is `b"\\0"` everywhere
in the process: checkpoints cannot be read, and whatever parses or writes bytes with a space in it goes wrong.

This file loads the bindings of package cuda-python; it is imported when a CUDA graph with a loop is captured.
"""

from typing import Any

import numpy as np


class CompilationFailed(Exception):
    """NVRTC or the driver cannot compile or load a kernel."""


def compile_kernel(source: str, name: bytes, program: bytes) -> Any:
    """Return the kernel `name` of CUDA C++ source, loaded into the current context, as cuda-python's `CUfunction`.

    Args:
        source: the program; functions must be `extern "C"`.
        name: the kernel's name.
        program: a name for the program, for messages.

    Raises:
        CompilationFailed: the source does not compile, or the driver refuses the result.
    """
    from cuda.bindings import driver, nvrtc

    handle = _checked(nvrtc.nvrtcCreateProgram(source.encode(), program, 0, [], []))
    try:
        # Without a target, so for an old one: the driver translates the result for the device.
        _checked(nvrtc.nvrtcCompileProgram(handle, 0, []))
        code = bytes(max(2, _checked(nvrtc.nvrtcGetPTXSize(handle))))  # an object of its own, as NVRTC writes into it
        _checked(nvrtc.nvrtcGetPTX(handle, code))
    finally:
        nvrtc.nvrtcDestroyProgram(handle)
    module = _checked(driver.cuModuleLoadData(np.frombuffer(code, np.uint8).ctypes.data))
    return _checked(driver.cuModuleGetFunction(module, name))


def _checked(answer: tuple[Any, ...]) -> Any:
    """Return what a function of cuda-python returns besides its status, None if nothing.

    Raises:
        CompilationFailed: the status is not success.
    """
    status, *values = answer
    if status.value:
        raise CompilationFailed(f"{status.name} ({status.value})")
    return values[0] if values else None
