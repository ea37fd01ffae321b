"""The layout: imports point downwards, few rooms know torch, functions are short, and each module has its tests."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = [
    "errors",
    "notifier",
    "settings",
    "memory",
    "metrics",
    "audio",
    "text",
    "wire",
    "engine",
    "engine.encoder",
    "engine.decoder",
    "engine.nemo_model",
    "diarization",
    "scheduling",
    "transcription",
    "realtime",
    "api",
    "runtime",
    "app",
    "server",
    "fleet",
    "__main__",
]
MODULES = sorted(path for path in (ROOT / "src").rglob("*.py") if path != ROOT / "src" / "__init__.py")
HEAVY = {"torch", "nemo", "omegaconf", "triton"}
"""Packages that take seconds to import and that only the engine, and Silero's network, may know."""
MAX_LINES = 50
"""Of a function, its docstring not counted."""


def floor(module: str) -> int:
    """The floor of a dotted name such as `src.audio.decode`: the nearest room that is named above."""
    room = module.removeprefix("src.")
    while room not in FLOORS:
        room = room.rpartition(".")[0]
    return FLOORS.index(room)


@cache
def parsed(path: Path) -> list[ast.AST]:
    """All nodes of a module, those within functions included."""
    return list(ast.walk(ast.parse(path.read_text())))


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a module imports, at its top or within a function."""
    nodes = parsed(path)
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {module.partition(".")[0] for module in modules}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of lines of a function, without its docstring and decorators."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    documented = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - documented


def has_test(path: Path) -> bool:
    """Whether a module has a test module of its name: at the same place in `unit` or `model`, where the engine's room
    may be left out, or in `service` or `process`."""
    module = path.relative_to(ROOT / "src")
    name, tests = f"test_{module.name}", ROOT / "test"
    places = [tests / kind / module.parent / name for kind in ("unit", "model", "service", "process")]
    places += [tests / kind / name for kind in ("service", "process")]
    if module.parts[0] == "engine":
        places.append(tests / "model" / module.parent.relative_to("engine") / name)
    return any(place.is_file() for place in places)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    imported = [
        node.module
        for node in parsed(path)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("src.")
    ]
    assert [name for name in imported if floor(name) > floor(module)] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_engine_and_silero_know_torch_and_nemo(path):
    may = path.is_relative_to(ROOT / "src" / "engine") or path == ROOT / "src" / "audio" / "silero.py"
    assert may or not imported_packages(path) & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_long(path):
    functions = [node for node in parsed(path) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert {each.name: lines_of(each) for each in functions if lines_of(each) > MAX_LINES} == {}


def test_each_module_has_a_test_module():
    modules = {name_of(path) for path in MODULES if path.name not in ("__init__.py", "__main__.py")}
    assert {name for name in modules if not has_test(ROOT / name)} == set()


def test_no_two_classes_have_the_same_name():
    names = Counter(node.name for path in MODULES for node in parsed(path) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []
