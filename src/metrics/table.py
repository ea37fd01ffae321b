"""The report as a table for a terminal, in ASCII and at most 120 columns wide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.metrics.figures import MISSING, number, seconds, share
from src.metrics.report import Percentiles, Summary

SEPARATOR = "  "


@dataclass(frozen=True, slots=True)
class _TableColumn:
    """A column of the table: two header lines, and the text of its cell for a window."""

    above: str
    name: str
    cell: Callable[[Summary], str]


def render(summaries: Sequence[Summary]) -> str:
    """Return the report: a table with a row for each window, and a table of errors with a row for each kind."""
    return "\n".join([*_main_table(summaries), "", *_error_table(summaries)])


def _main_table(summaries: Sequence[Summary]) -> list[str]:
    columns = [_aligned([column.name, *map(column.cell, summaries)]) for column in _COLUMNS]
    above = [_heading(column.above, len(texts[0])) for column, texts in zip(_COLUMNS, columns, strict=True)]
    return [SEPARATOR.join(above).rstrip(), *_lines(columns)]


def _error_table(summaries: Sequence[Summary]) -> list[str]:
    kinds = sorted({kind for summary in summaries for kind in summary.errors})
    if not kinds:
        return ["no errors"]
    names = ["errors by code", *map(str, kinds)]
    width = max(map(len, names))
    counts = [
        _aligned([summary.window.name, *(str(summary.errors.get(kind, MISSING)) for kind in kinds)], width=6)
        for summary in summaries
    ]
    return _lines([[name.ljust(width) for name in names], *counts])


def _heading(heading: str, width: int) -> str:
    return f" {heading} ".center(width, "-") if heading else " " * width


def _aligned(texts: Sequence[str], width: int = 0) -> list[str]:
    width = max(width, *map(len, texts))
    return [text.rjust(width) for text in texts]


def _lines(columns: Sequence[Sequence[str]]) -> list[str]:
    return [SEPARATOR.join(line) for line in zip(*columns, strict=True)]


def _percent(summary: Summary) -> str:
    return share(summary.ok, summary.requests)


def _percentiles(percentiles: Percentiles) -> str:
    return _triple(seconds(percentiles.p50), seconds(percentiles.p95), seconds(percentiles.p99))


def _triple(*texts: str) -> str:
    return " ".join(f"{text:>5}" for text in texts)


_COLUMNS = [
    _TableColumn("", "window", lambda summary: summary.window.name),
    _TableColumn("", "requests", lambda summary: str(summary.requests)),
    _TableColumn("", "success", _percent),
    _TableColumn("", "req/min", lambda summary: number(summary.requests_per_minute)),
    _TableColumn("", "audio min", lambda summary: number(summary.audio_s / 60)),
    _TableColumn("", "RTFx", lambda summary: number(summary.rtfx)),
    _TableColumn("total s", _triple("p50", "p95", "p99"), lambda summary: _percentiles(summary.total_s)),
    _TableColumn("queue wait s", _triple("p50", "p95", "p99"), lambda summary: _percentiles(summary.queue_wait_s)),
    _TableColumn("inference s", _triple("p50", "p95", "p99"), lambda summary: _percentiles(summary.inference_s)),
    _TableColumn("", "batch", lambda summary: number(summary.mean_batch_size, 2)),
]
