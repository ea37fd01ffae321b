"""The floors of the house: a module imports only from its own floor's folder and from floors below."""

import ast
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
    "scheduling",
    "transcription",
    "realtime",
    "api",
    "runtime",
    "app",
    "server",
    "__main__",
]
MODULES = sorted(path for path in (ROOT / "src").rglob("*.py") if path != ROOT / "src" / "__init__.py")


def floor(module: str) -> int:
    """The floor of a dotted name such as `src.audio.decode`: the nearest room that is named above."""
    room = module.removeprefix("src.")
    while room not in FLOORS:
        room = room.rpartition(".")[0]
    return FLOORS.index(room)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    imported = [
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("src.")
    ]
    assert [name for name in imported if floor(name) > floor(module)] == []
