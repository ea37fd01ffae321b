"""The figures of a run of the load clients, as tables and files."""

import argparse
import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from client import Answer, Failure, Upload, mode_words

Spread = dict[str, float | None]
"""p50, p95, p99 and mean."""


@dataclass(frozen=True)
class Summary:
    """The figures of a run.

    `codes`, `messages` (one for each error code) and `latency_s` (p50, p95, p99 and mean of the answers with a text,
    None without any) cover all requests. `requests_per_s` and `rtfx` (audio seconds per wall second) cover the answers
    with a text within `window_s` seconds of the start. `retried_429` are not among the requests: `requests +
    retried_429` were sent. Over a WebSocket it counts all rejections, and there are `first_delta_s` (of the answers
    with a delta) and `final_s`; see `Answer`.
    """

    requests: int
    ok: int
    codes: dict[str, int]
    messages: dict[str, str]
    retried_429: int
    window_s: float
    requests_per_s: float
    rtfx: float
    latency_s: Spread
    first_delta_s: Spread | None = None
    final_s: Spread | None = None

    def figures(self) -> dict[str, Any]:
        """Return the figures for a JSON file, without those that the transport does not have."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def summarise(answers: Sequence[Answer], *, started_s: float, window_s: float, ws: bool = False) -> Summary:
    """Return the figures of a run; rates are over `window_s` seconds from `started_s` (`time.perf_counter`)."""
    good = [each for each in answers if each.ok]
    timely = [each for each in good if each.ended_s <= started_s + window_s]
    return Summary(
        requests=len(answers),
        ok=len(good),
        codes=dict(sorted(Counter(each.code for each in answers).items())),
        messages={each.code: each.message for each in answers if not each.ok},
        retried_429=sum(each.retries for each in answers),
        window_s=window_s,
        requests_per_s=len(timely) / window_s,
        rtfx=sum(each.audio_len_s for each in timely) / window_s,
        latency_s=_spread(each.latency_s for each in good),
        first_delta_s=_spread(each.first_delta_s for each in good) if ws else None,
        final_s=_spread(each.final_s for each in good) if ws else None,
    )


def _spread(values: Iterable[float | None]) -> Spread:
    ordered = sorted(each for each in values if each is not None)
    result = {f"p{percent}": percentile(ordered, percent) for percent in (50, 95, 99)}
    return result | {"mean": sum(ordered) / len(ordered) if ordered else None}


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile of ascending values: the smallest one that `percent` of them do not exceed."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)]


def latency_percentiles_s(answers: Iterable[Answer]) -> tuple[float | None, float | None, float | None]:
    """Return the p50, p95 and p99 latency of the answers with a text; None without any."""
    ordered = sorted(answer.latency_s for answer in answers if answer.ok)
    return percentile(ordered, 50), percentile(ordered, 95), percentile(ordered, 99)


def ratio(over: float | None, under: float | None) -> float | None:
    """Divide one figure by another; None if one of them is missing or the divisor is 0."""
    return over / under if over is not None and under else None


@asynccontextmanager
async def shown_progress(progress: Callable[[], tuple[float, str]], stream: TextIO) -> AsyncIterator[None]:
    """While the block runs, show `progress()` (a share of 1, and text) on `stream`: a bar on a terminal, else lines."""
    terminal = stream.isatty()

    async def show_repeatedly() -> None:
        while True:
            await asyncio.sleep(0.2 if terminal else 10)
            _show(*progress(), stream)

    shower = asyncio.create_task(show_repeatedly())
    try:
        yield
    finally:
        shower.cancel()
        with suppress(asyncio.CancelledError):
            await shower
        if terminal:
            _show(*progress(), stream)
            stream.write("\n")


def _show(share: float, words: str, stream: TextIO) -> None:
    share = min(share, 1.0)  # the last requests may end after the time
    if stream.isatty():
        filled = "#" * math.floor(30 * share)
        stream.write(f"\r\x1b[K[{filled:-<30}] {share:4.0%} {words}")
    else:
        stream.write(f"{share:4.0%} {words}\n")
    stream.flush()


Row = tuple[str, str]


def load_rows(options: argparse.Namespace, uploads: Sequence[Upload]) -> list[Row]:
    """Return the table rows that describe the load."""
    audio_s = sum(each.audio_len_s for each in uploads)
    return [
        ("server", options.url),
        ("sent as", mode_words(options)),
        ("files", f"{len(uploads)} with {audio_s:.1f} s of audio"),
    ]


def load_settings(options: argparse.Namespace, uploads: Sequence[Upload]) -> dict[str, Any]:
    """Return the figures that describe the load."""
    files = [each.file for each in uploads]
    return {"server": options.url, "sent_as": mode_words(options), "files": files}


def summary_rows(summary: Summary) -> list[Row]:
    """Return the table rows of a summary."""
    errors = [
        (f"error {code}", f"{summary.codes[code]}   {message}") for code, message in sorted(summary.messages.items())
    ]
    return [
        ("requests", str(summary.requests)),
        ("ok", str(summary.ok)),
        ("errors", str(summary.requests - summary.ok)),
        *errors,
        ("retried 429s" if summary.final_s is None else "retried", str(summary.retried_429)),
        ("time", f"{summary.window_s:.2f} s"),
        ("requests/s", f"{summary.requests_per_s:.2f} answered with a text"),
        ("audio s/s", f"{summary.rtfx:.2f} = RTFx, audio seconds per wall second"),
        ("latency", _spread_words(summary.latency_s)),
        *([("first delta", _spread_words(summary.first_delta_s))] if summary.first_delta_s else []),
        *([("final after commit", _spread_words(summary.final_s))] if summary.final_s else []),
    ]


def _spread_words(spread: Spread) -> str:
    return "   ".join(f"{name} {in_seconds(value)}" for name, value in spread.items())


def in_seconds(value: float | None) -> str:
    """Format a time; `-` for None."""
    return "-" if value is None else f"{value:.3f} s"


def table(rows: Sequence[Row]) -> str:
    """Return `rows` as aligned lines."""
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


def save(path: Path, content: str) -> None:
    """Write `content` to `path`, creating its folder.

    Raises:
        Failure: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", errors="backslashreplace")  # file names need not be UTF-8
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None


def report(name: str, folder: Path, rows: Sequence[Row], figures: dict[str, Any]) -> None:
    """Print a run's table, and save it as `name.txt` and its figures as `name.json` in `folder`."""
    text = table(rows)
    print(text, end="")
    save(folder / f"{name}.txt", text)
    save(folder / f"{name}.json", json.dumps(figures, indent=2) + "\n")
    print(f"saved to {folder / name}.txt and .json")
