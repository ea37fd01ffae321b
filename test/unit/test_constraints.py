"""`scripts/constraints.txt` names one version of every package that is installed, for each supported Python."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = [Requirement(line) for line in (ROOT / "scripts" / "constraints.txt").read_text().splitlines()]
PYTHONS = re.search(r'^supported="(.*)"$', (ROOT / "scripts" / "setup.sh").read_text(), re.MULTILINE)[1].split()


def applies(marker: Marker | None, python: str, extra: str = "") -> bool:
    changes = {"python_version": python, "python_full_version": f"{python}.7", "extra": extra}
    return marker is None or marker.evaluate(dict[str, Any](default_environment()) | changes)


def versions(name: str, python: str) -> list[str]:
    """The versions that the constraints allow of a package."""
    wanted = canonicalize_name(name)
    found = [each for each in CONSTRAINTS if canonicalize_name(each.name) == wanted and applies(each.marker, python)]
    return [str(each.specifier) for each in found]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_has_one_version_and_it_is_the_one_of_pyproject(python):
    extras = PROJECT["optional-dependencies"].values()
    direct = [Requirement(line) for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]]
    assert len(direct) > 20
    for requirement in direct:
        (version,) = versions(requirement.name, python)
        assert str(requirement.specifier) in ("", version)


@pytest.mark.parametrize("python", PYTHONS)
def test_no_package_has_two_versions_for_one_python(python):
    names = {each.name for each in CONSTRAINTS}
    assert {name: versions(name, python) for name in names if len(versions(name, python)) > 1} == {}


def test_whatever_the_project_pulls_in_here_has_a_version():
    python = "{}.{}".format(*sys.version_info)
    seen: set[tuple[str, str]] = set()
    waiting = [("parakeet-server", extra) for extra in ("", "test", "plot")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # an optional part of a library that this machine has no wheel for
        for requirement in map(Requirement, lines):
            if applies(requirement.marker, python, extra):
                waiting += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    names = {name for name, _ in seen} - {"parakeet-server"}
    assert len(names) > 100
    assert sorted(name for name in names if not versions(name, python)) == []
