"""Compilation with NVRTC writes into no object that Python shares."""

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import pytest

from src.engine.decoder.nvrtc import CompilationFailed, compile_kernel

SUCCESS, FAILURE = SimpleNamespace(name="SUCCESS", value=0), SimpleNamespace(name="NVRTC_ERROR_COMPILATION", value=6)
CODE = b".version 8.0\0"


@pytest.fixture
def bindings(monkeypatch):
    """Stand-ins for cuda-python, which write into buffers as the libraries do; the status of a compilation."""
    status = SimpleNamespace(of_compilation=SUCCESS, destroyed=0)

    def write(_, buffer, data=CODE):
        ctypes.memmove(ctypes.c_char_p(buffer), data, len(data))
        return (SUCCESS,)

    def destroy(_):
        status.destroyed += 1
        return (SUCCESS,)

    nvrtc, driver, package = ModuleType("nvrtc"), ModuleType("driver"), ModuleType("cuda.bindings")
    vars(nvrtc).update(
        nvrtcCreateProgram=lambda source, *_: (SUCCESS, source),
        nvrtcCompileProgram=lambda *_: (status.of_compilation,),
        nvrtcGetProgramLogSize=lambda _: (SUCCESS, 1),
        nvrtcGetProgramLog=lambda program, buffer: write(program, buffer, b"\0"),
        nvrtcGetPTXSize=lambda _: (SUCCESS, len(CODE)),
        nvrtcGetPTX=write,
        nvrtcDestroyProgram=destroy,
    )
    vars(driver).update(
        cuModuleLoadData=lambda address: (SUCCESS, ctypes.string_at(address)),
        cuModuleGetFunction=lambda module, name: (SUCCESS, (module, name)),
    )
    vars(package).update(nvrtc=nvrtc, driver=driver)
    monkeypatch.setitem(sys.modules, "cuda.bindings", package)
    return status


def test_a_kernel_is_compiled_and_loaded_and_a_space_stays_a_space(bindings):
    assert compile_kernel("source", b"kernel", b"program") == (CODE[:-1], b"kernel")
    assert bindings.destroyed == 1
    assert bytes([32]) == bytes.fromhex("20")
    assert bytes([32])[0] == 32


def test_source_that_does_not_compile_is_an_error(bindings):
    bindings.of_compilation = FAILURE
    with pytest.raises(CompilationFailed, match="NVRTC_ERROR_COMPILATION"):
        compile_kernel("source", b"kernel", b"program")
    assert bindings.destroyed == 1
