"""The READMEs name what is there: settings with their defaults, error codes, scripts, programs, links."""

import re
from pathlib import Path

import pytest

from src.errors import ServiceError
from src.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
READMES = [ROOT / name for name in ("README.md", "src/README.md", "test/README.md", ".github/CONTRIBUTING.md")]
PYTHON_FILES = {path.name for folder in ("src", "test") for path in (ROOT / folder).rglob("*.py")}


def section(title: str) -> str:
    """The text of a section of the project's README."""
    return re.split(rf"^##+ {title}$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)[1].split("\n## ")[0]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_settings_has_every_setting_with_its_default():
    rows = [row.split("|")[1:] for row in section("Settings").splitlines() if row.startswith(f"| `{PREFIX}")]
    listed = {}
    for names, defaults, *_ in rows:
        values = quoted(defaults) or [""] * len(quoted(names))
        listed |= dict(zip(quoted(names), values, strict=True))
    assert set(listed) == {PREFIX + name.upper() for name in Settings.model_fields}
    assert Settings(**{name.removeprefix(PREFIX).lower(): value for name, value in listed.items()}) == Settings()


def kinds(error: type[ServiceError]) -> list[type[ServiceError]]:
    return [error, *(kind for below in error.__subclasses__() for kind in kinds(below))]


def test_the_table_of_errors_has_every_code():
    listed = {
        code
        for row in section("Errors").splitlines()
        if row.startswith("| 4") or row.startswith("| 5")
        for code in quoted(row)
    }
    assert {
        kind.code for kind in kinds(ServiceError) if kind.__module__ == "src.errors" and kind.code
    } - listed == set()


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_that_is_named_is_there(path):
    named = set(re.findall(r"[\w/.-]+\.(?:py|sh)\b", path.read_text()))
    missing = [
        name
        for name in named
        if Path(name).name not in PYTHON_FILES and not (ROOT / name).exists() and not (ROOT / "scripts" / name).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_in_a_command_is_there(path):
    commands = re.findall(r"(?:python3|pytest|bash) ((?:test|scripts|src)/[\w/.-]+)", path.read_text())
    assert [name for name in commands if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_script_is_described():
    text = (ROOT / "README.md").read_text()
    inner = {"lib.sh", "supervise.sh"}
    assert [
        path.name for path in (ROOT / "scripts").glob("[a-z]*") if path.name not in text and path.name not in inner
    ] == []
