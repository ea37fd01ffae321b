"""The messages about what Triton's compiler lacks."""

import sys

import pytest

from src.engine import toolchain


@pytest.fixture
def complete(monkeypatch, tmp_path):
    """A machine with Triton, a compiler and Python's headers: the folders of programs and of headers."""
    programs, headers = tmp_path / "bin", tmp_path / "include"
    for file in (programs / "gcc", headers / "Python.h"):
        file.parent.mkdir()
        file.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "_includes", lambda: str(headers))
    monkeypatch.setattr(toolchain, "find_spec", lambda name: sys.__spec__)
    return programs, headers


def test_nothing_is_missing_on_a_complete_machine(complete):
    assert toolchain.missing() is None


def test_a_missing_triton(complete, monkeypatch):
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    assert "Triton is not installed" in toolchain.missing()


def test_a_missing_compiler(complete):
    programs, _ = complete
    (programs / "gcc").rename(programs / "clang")
    assert toolchain.missing() is None
    (programs / "clang").unlink()
    assert "C compiler" in toolchain.missing()


def test_a_missing_compiler_that_the_environment_names(complete, monkeypatch):
    monkeypatch.setenv("CC", "icx")
    assert "icx" in toolchain.missing()


def test_missing_headers_of_python(complete):
    _, headers = complete
    (headers / "Python.h").unlink()
    assert f"{headers}/Python.h" in toolchain.missing()
