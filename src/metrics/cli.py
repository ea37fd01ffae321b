"""The command `python3 -m src.metrics`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from src.metrics import report, table
from src.metrics.history import History
from src.metrics.log import LOG_NAME, metrics_path
from src.metrics.log_set import LogSet
from src.metrics.report import ReportWindow, Summary, summarize

WINDOWS = ("30m", "1h", "3h", "6h", "12h", "24h", "3d")
REFRESH_S = 2.0
CLEAR = "\x1b[H\x1b[2J"

Clock = Callable[[], float]


def main(
    argv: Sequence[str] | None = None, *, clock: Clock = time.time, pause: Callable[[float], None] = time.sleep
) -> int:
    """Run the command and return its exit code: 0, or 1 with a message if there is nothing to report.

    Raises:
        SystemExit: invalid arguments (2) or settings (1).
    """
    options = _options(argv)
    logs = LogSet(options.file or [_default_path()])
    try:
        if options.follow:
            return _follow(History(logs), options.windows, clock, pause)
        if options.html or options.plot or options.prometheus:
            return _write_files(logs, options, clock())
        return _report(History(logs), options, clock())
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename in [str(path.absolute()) for path in logs.paths]:
            kind = "" if os.path.isdir(error.filename) else "file "
            return _fail(f"No metrics yet: there is no {kind}{_missing(error.filename)}.")
        return _fail(f"{error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        return 0 if options.follow else 130


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(argv)
    printed = [f"--{name}" for name in ("json", "follow") if getattr(options, name)]
    written = [f"--{name}" for name in ("html", "plot", "prometheus") if getattr(options, name)]
    if printed and written:
        parser.error(f"argument {written[0]}: not allowed with argument {printed[0]}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m src.metrics",
        description="Report what the service did, from its metrics log.",
        epilog=report.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--windows",
        nargs="+",
        type=_window,
        default=[ReportWindow.parse(text) for text in WINDOWS],
        metavar="WINDOW",
        help=f"lengths of time until now, such as 90s, 30m, 1.5h or 3d (default: {' '.join(WINDOWS)})",
    )
    parser.add_argument(
        "--file",
        type=Path,
        nargs="+",
        action="extend",
        metavar="PATH",
        help="the metrics log; rotated parts beside it are read too (default: metrics/metrics.log in PARAKEET_LOG_DIR)."
        " Several, such as those of replicas, are read as one in order of time, and a folder stands for all logs in it",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of tables")
    output.add_argument("--follow", action="store_true", help=f"print anew every {REFRESH_S:g} s, until Ctrl-C")
    files = parser.add_argument_group(
        "files", "Written instead, whole or not at all; several may be asked for at once."
    )
    files.add_argument(
        "--html", type=Path, metavar="FILE.html", help="draw all windows as a page that opens without a network"
    )
    files.add_argument("--plot", type=_png, metavar="FILE.png", help="draw the longest window (needs matplotlib)")
    files.add_argument(
        "--prometheus",
        type=Path,
        metavar="FILE.prom",
        help="bring a file of counters up to date, for node_exporter's textfile collector; it counts on from what it"
        " has, so run it at least once a day, and without --windows",
    )
    return parser


def _window(text: str) -> ReportWindow:
    try:
        return ReportWindow.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time such as 90s, 30m, 1.5h or 3d") from None


def _png(text: str) -> Path:
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png")
    return Path(text)


def _default_path() -> Path:
    from src.settings import Settings, SettingsError  # importing pydantic takes longer than most reports

    try:
        return metrics_path(Settings().log_dir)
    except SettingsError as error:
        raise SystemExit(str(error)) from None


def _report(history: History, options: argparse.Namespace, now: float) -> int:
    history.update(_since(options.windows, now))
    summaries = _summaries(history, options.windows, now)
    _print(_to_json(history, summaries, now) if options.json else _to_text(history, summaries, now))
    return 0


def _write_files(logs: LogSet, options: argparse.Namespace, now: float) -> int:
    """Write each file that is asked for. A picture that cannot be drawn does not keep the others from being written."""
    from src.metrics import pictures, prometheus  # what the tables do not need

    if options.prometheus and not prometheus.update_file(options.prometheus, logs, now):
        print(f"{options.prometheus} was not written by this command; its counters begin anew.", file=sys.stderr)
    code = 0
    for write, target in ((pictures.write_html, options.html), (pictures.write_plot, options.plot)):
        try:
            if target:
                _print(write(target, logs, options.windows, now))
        except pictures.CannotDraw as reason:
            code = _fail(str(reason))
    return code


def _follow(history: History, windows: Sequence[ReportWindow], clock: Clock, pause: Callable[[float], None]) -> int:
    """Print the report every `REFRESH_S`. Waits for a log that does not exist yet."""
    while True:
        now = clock()
        try:
            history.update(_since(windows, now))
            text = _to_text(history, _summaries(history, windows, now), now)
        except FileNotFoundError as error:
            text = f"No metrics yet: waiting for {_missing(error.filename)}."
        _print(CLEAR + text if sys.stdout.isatty() else text + "\n")
        pause(REFRESH_S)


def _since(windows: Sequence[ReportWindow], now: float) -> float:
    return now - max(window.seconds for window in windows)


def _summaries(history: History, windows: Sequence[ReportWindow], now: float) -> list[Summary]:
    return [summarize(history.requests, window, now) for window in windows]


def _to_json(history: History, summaries: Sequence[Summary], now: float) -> str:
    paths = [str(path) for path in history.logs.paths]
    document = {
        **({"file": paths[0]} if len(paths) == 1 else {"files": paths}),
        "now": round(now, report.DECIMALS),
        "skipped_lines": history.skipped_lines,
        "windows": [summary.to_json() for summary in summaries],
    }
    return json.dumps(document, indent=2)


def _to_text(history: History, summaries: Sequence[Summary], now: float) -> str:
    lines = [f"{history.logs} at {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC", "", table.render(summaries)]
    if history.skipped_lines:
        lines += ["", f"skipped {history.skipped_lines} unreadable line{'s' * (history.skipped_lines != 1)}"]
    return "\n".join(lines)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails once more
        raise SystemExit(0 if isinstance(error, BrokenPipeError) else f"{error.strerror}: standard output") from None


def _missing(path: str) -> str:
    """Return what is missing at a path: the file there, or a log in the folder there."""
    return f"{LOG_NAME} in {path}" if os.path.isdir(path) else path


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
