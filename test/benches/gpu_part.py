"""What the parts of `gpu_check.py` share: their arguments, their output and their exit codes."""

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import client
from columns import Cell, shown

if TYPE_CHECKING:
    import torch

FIGURES = "\x1e"
"""First character of a line of stdout that is JSON for the report (as in RFC 7464); other lines are for people."""
DIFFERENT, NO_GPU = 10, 11
"""Exit codes for differing texts and for a missing GPU; Python itself exits with 1 after an error."""
WARM_UPS, REPEATS = 3, 9
START_S = 5.0
"""Time that a part takes before its clock starts."""


def arguments(description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line of a part."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="(default: %(default)s)")
    parser.add_argument(
        "--model", default="wide-0.6b", help="wide-0.6b, tiny, a path or a hub id (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="little of everything, as a rehearsal")
    parser.add_argument(
        "--limit", type=client.positive, default=1e9, metavar="S", help="leave out what takes longer than S seconds"
    )
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


class Clock:
    """Knows whether a part has time for more before its limit."""

    def __init__(self, limit_s: float) -> None:
        self._end_s = time.monotonic() + limit_s - START_S

    def allows(self, seconds: float, what: str) -> bool:
        """Return whether there is time for `what`, which takes `seconds`; print a line if not."""
        has_time = time.monotonic() + seconds < self._end_s
        if not has_time:
            say(f"{what}: left out, there is no time for it")
        return has_time


def say(text: str) -> None:
    """Print lines for people."""
    print(text.rstrip("\n"), flush=True)


def put(**figures: Any) -> None:
    """Send named figures, which must be JSON values, to the report."""
    print(FIGURES + json.dumps(figures), flush=True)


class Rows:
    """A table printed row by row; the first column is text, aligned left."""

    def __init__(self, first: str, names: Sequence[str], first_width: int = 12) -> None:
        self._widths = [max(len(name), 7) for name in names]
        self._first_width = first_width
        self.add(first, names)

    def add(self, first: str, cells: Sequence[Cell]) -> None:
        """Print a row."""
        aligned = [shown(cell).rjust(width) for cell, width in zip(cells, self._widths, strict=True)]
        say("  ".join([first.ljust(self._first_width), *aligned]))


def print_log() -> None:
    """Print the service's log lines, such as which encoder runs and why no better one does."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned = f"{record.levelname}: " if record.levelno > logging.INFO else ""
            say(f"  {warned}{record.getMessage()}")

    logger = logging.getLogger("src")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Printer())


def median_s(work: Callable[[], object], device: "torch.device") -> float:
    """Return the median seconds of `work`, from its call until the device has finished it."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    spent_s = []
    for _ in range(WARM_UPS + REPEATS):
        wait()
        started_s = time.perf_counter()
        work()
        wait()
        spent_s.append(time.perf_counter() - started_s)
    return sorted(spent_s[WARM_UPS:])[REPEATS // 2]
