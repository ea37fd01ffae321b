"""The contract with NeMo, held against packages that only say that they are NeMo, and against the engine's own code."""

import ast
from pathlib import Path

import pytest

from src.engine import nemo_contract
from src.engine.nemo_contract import NAMES, NEMO_VERSION, check, missing_names
from src.errors import ModelUnavailable

ROOT = Path(__file__).parents[3]
ENGINE = """
import enum
from dataclasses import dataclass

patched = print

class Base:
    def __init__(self):
        self.inherited = 1

class Computer(Base):
    declared: int
    constant = 1

    def __init__(self):
        self.assigned = self.read
        self.register_buffer("registered", None)

    def method(self):
        self.late = patched
"""
MEMBERS = ("inherited", "declared", "constant", "assigned", "registered", "method", "late")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package of NeMo's name, and modules beside it, before those that are really there."""

    def install(version: str, name: str = "", text: str = "") -> None:
        metadata = tmp_path / f"nemo_toolkit-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: nemo_toolkit\nVersion: {version}\n")
        if name:
            (tmp_path / f"{name}.py").write_text(text)

    monkeypatch.syspath_prepend(str(tmp_path))
    return install


def message(names=NAMES) -> str:
    with pytest.raises(ModelUnavailable) as error:
        check(names)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("version", ["2.7.0", "3.0.1", "3.1.0rc0", "3.0.0rc1"])
def test_another_release_is_rejected_in_a_sentence_that_says_which_one_to_install(installed, version):
    installed(version)
    assert message() == (
        f"NeMo {version} is installed, but this service uses internals of NeMo {NEMO_VERSION}; run "
        f"pip install 'nemo_toolkit[asr]=={NEMO_VERSION}'."
    )


def test_a_build_of_the_release_with_a_label_of_its_own_is_that_release(installed):
    installed(f"{NEMO_VERSION}+cu130", "engine_a", ENGINE)
    check({"engine_a.Computer": MEMBERS})


def test_without_nemo_the_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(nemo_contract, "_DISTRIBUTION", "no_such_nemo_toolkit")
    assert message().startswith("NeMo is not installed; run pip install 'nemo_toolkit[asr]==")


def test_names_that_are_missing_are_in_the_sentence(installed):
    installed(NEMO_VERSION, "engine_b", ENGINE)
    assert "without engine_b.Computer.gone, which" in message({"engine_b.Computer": ("method", "gone")})
    names = {"engine_b": ("patched", "gone"), "engine_b.Gone": ("x", "y"), "engine_b.Computer": ("a", "b", "c")}
    assert "without engine_b.gone, engine_b.Gone, engine_b.Computer.a and 2 more names, which" in message(names)


def test_a_nemo_that_cannot_be_imported_says_why(installed):
    installed(NEMO_VERSION, "engine_c", "raise ImportError('libcudart.so.13:\\n cannot open')")
    assert "cannot be imported (ImportError: libcudart.so.13: cannot open)" in message({"engine_c.Computer": ()})
    installed("3.0.0+local", "engine_d", "import no_such_package_of_nemos")
    assert "(ModuleNotFoundError: No module named 'no_such_package_of_nemos')" in message({"engine_d.Computer": ()})


def test_members_are_found_however_a_class_gets_them(installed):
    installed(NEMO_VERSION, "engine_e", ENGINE)
    assert list(missing_names({"engine_e.Computer": MEMBERS, "engine_e": ("patched", "Computer")})) == []
    names = {"engine_e.Computer": ("read", "patched"), "engine_e": ("assigned",), "no_such.module.Class": ("x",)}
    assert list(missing_names(names)) == [
        "engine_e.Computer.read",
        "engine_e.Computer.patched",
        "engine_e.assigned",
        "no_such.module.Class",
    ]


def test_the_version_is_that_of_the_project_and_is_written_once_in_the_code():
    assert f'"nemo_toolkit[asr]=={NEMO_VERSION}"' in (ROOT / "pyproject.toml").read_text()
    files = [path.name for path in (ROOT / "src").rglob("*.py") if NEMO_VERSION in path.read_text()]
    assert files == ["nemo_contract.py"]


def test_every_private_name_of_another_object_in_the_engine_is_in_the_contract():
    private = {
        node.attr
        for path in (ROOT / "src" / "engine").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.endswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }
    of_torch = {"_C", "_cuda_endAllocateToPool"}
    assert {"_graph_reinitialize", "_extend_num_models", "_left_padding"} <= private
    assert private - of_torch <= {name for members in NAMES.values() for name in members}
