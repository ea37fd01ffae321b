"""Writing the pictures of the logs to files."""

from collections.abc import Sequence
from pathlib import Path

from src.metrics import html_page
from src.metrics.log_set import LogSet
from src.metrics.report import ReportWindow
from src.metrics.series import Reading, read_series
from src.metrics.whole_file import write_whole


class CannotDraw(Exception):
    """There is no picture. The text is a sentence that says why."""


def write_html(path: Path, logs: LogSet, windows: Sequence[ReportWindow], now: float) -> str:
    """Draw `windows`, which end at `now` (Unix seconds), as a page, and return a sentence on what was done.

    Raises:
        CannotDraw: no request ended in any of them.
        FileNotFoundError: one of the logs does not exist yet.
        OSError: a log cannot be read, or the page cannot be written.
    """
    page = html_page.render(_read(logs, windows, now), windows, str(logs), now)
    write_whole(path, page.encode("utf-8", "replace"))
    *others, last = [window.name for window in windows]
    return f"Drew the last {', '.join(others)}{' and ' if others else ''}{last} to {path}."


def write_plot(path: Path, logs: LogSet, windows: Sequence[ReportWindow], now: float) -> str:
    """Draw the longest of `windows` as a PNG, otherwise like `write_html`.

    Raises:
        CannotDraw: also without matplotlib.
    """
    try:
        from src.metrics import plot
    except ModuleNotFoundError:
        raise CannotDraw("--plot needs matplotlib; install it with: pip install '.[plot]'") from None
    window = _longest(windows)
    write_whole(path, plot.draw(_read(logs, [window], now).series[window.name]))
    return f"Drew the last {window.name} to {path}."


def _read(logs: LogSet, windows: Sequence[ReportWindow], now: float) -> Reading:
    reading = read_series(logs, windows, now)
    if not reading.series:
        raise CannotDraw(f"Nothing to draw: no request ended in the last {_longest(windows).name}.")
    return reading


def _longest(windows: Sequence[ReportWindow]) -> ReportWindow:
    return max(windows, key=lambda window: window.seconds)
