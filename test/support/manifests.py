"""The files of `scripts/container` and `scripts/kubernetes`, and the programs that check them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.runtime import SESSION_END_S
from src.server.server import SLOW_READER_S
from src.settings import PREFIX, Settings

PROJECT = Path(__file__).parents[2]
CONTAINER = PROJECT / "scripts" / "container"
KUBERNETES = PROJECT / "scripts" / "kubernetes"
DOCKERFILE = CONTAINER / "Dockerfile"
COMPOSE = CONTAINER / "compose.yaml"

Document = dict[str, Any]


def program(name: str) -> str:
    """Return the path of a program of the extra `manifests`, beside the interpreter; skip the test without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed; try: pip install -e '.[manifests]'")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program and return how it ended, both its outputs as one text."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def rendered(folder: Path) -> list[Document]:
    """Return the objects of a kustomization; skip the test without `kubectl`, which is no Python package."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    ended = run(kubectl, "kustomize", folder)
    assert ended.returncode == 0, ended.stdout
    return list(yaml.safe_load_all(ended.stdout))


def stages(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage of a Dockerfile, with their arguments on one line; the last is `""`."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, list[tuple[str, str]]] = {}
    name = "arguments"
    for line in filter(None, map(str.strip, joined.splitlines())):
        instruction, _, argument = line.partition(" ")
        argument = " ".join(argument.split())
        if instruction == "FROM":
            name = argument.partition(" AS ")[2]
        found.setdefault(name, []).append((instruction, argument))
    return found


def variables(instructions: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what the ENV instructions of a stage set; no value has a space."""
    words = [word for instruction, argument in instructions if instruction == "ENV" for word in argument.split()]
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Return the settings that these variables make; each `PARAKEET_` variable must be one, and valid."""
    named = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    assert set(named) - set(Settings.model_fields) == set()
    return Settings(**{name: value for name, value in named.items() if value})


def pod_templates(document: Document) -> Iterator[Document]:
    """Yield the pod templates of an object: those of a Deployment, of a RayService and of its workers."""
    spec = document.get("spec", {})
    cluster = spec.get("rayClusterConfig", {})
    for holder in (spec, cluster.get("headGroupSpec", {}), *cluster.get("workerGroupSpecs", [])):
        if "template" in holder:
            yield holder["template"]


def stop_s(settings: Settings) -> float:
    """The longest time, in seconds, that the service takes to end after SIGTERM."""
    return settings.shutdown_grace_s + SESSION_END_S + SLOW_READER_S


@cache
def overlay(name: str) -> list[Document]:
    """Return the objects of an overlay; they are shared, so a test changes copies only."""
    return rendered(KUBERNETES / "overlays" / name)


def one(documents: Sequence[Document], kind: str, name: str = "") -> Document:
    """Return the only object of a kind, of those that have `name` in their names."""
    (found,) = [each for each in documents if each["kind"] == kind and name in each["metadata"]["name"]]
    return found


def containers(document: Document) -> list[Document]:
    """Return the containers of the pods that an object makes."""
    return [each for template in pod_templates(document) for each in template["spec"]["containers"]]


def environment(documents: Sequence[Document], container: Document) -> dict[str, str]:
    """The variables of a container, as far as their values are in the files."""
    maps = [each["configMapRef"]["name"] for each in container.get("envFrom", [])]
    found = {name: value for each in maps for name, value in one(documents, "ConfigMap", each)["data"].items()}
    return found | {each["name"]: each.get("value", "") for each in container["env"]}


def set_at(document: Document, keys: Sequence[str | int], value: Any) -> None:
    """Set the value to which `keys` lead from the outside in."""
    inner: Any = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
