"""The report as text for a terminal: plain ASCII, within 120 columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.metrics.report import Percentiles, Summary

GAP = "  "
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table: its name, in two lines, and its text for a window."""

    above: str
    name: str
    cell: Callable[[Summary], str]


def render(summaries: Sequence[Summary]) -> str:
    """Return the report: a table with a line for each window, and one of the errors with a line for each kind."""
    return "\n".join([*_main_table(summaries), "", *_error_table(summaries)])


def _main_table(summaries: Sequence[Summary]) -> list[str]:
    columns = [_aligned([column.name, *map(column.cell, summaries)]) for column in _COLUMNS]
    above = [_over(column.above, len(texts[0])) for column, texts in zip(_COLUMNS, columns, strict=True)]
    return [GAP.join(above).rstrip(), *_lines(columns)]


def _error_table(summaries: Sequence[Summary]) -> list[str]:
    kinds = sorted({kind for summary in summaries for kind in summary.errors})
    if not kinds:
        return ["no errors"]
    names = ["errors by code", *map(str, kinds)]
    width = max(map(len, names))
    counts = [
        _aligned([summary.window.name, *(str(summary.errors.get(kind, NOTHING)) for kind in kinds)], width=6)
        for summary in summaries
    ]
    return _lines([[name.ljust(width) for name in names], *counts])


def _over(heading: str, width: int) -> str:
    return f" {heading} ".center(width, "-") if heading else " " * width


def _aligned(texts: Sequence[str], width: int = 0) -> list[str]:
    width = max(width, *map(len, texts))
    return [text.rjust(width) for text in texts]


def _lines(columns: Sequence[Sequence[str]]) -> list[str]:
    return [GAP.join(line) for line in zip(*columns, strict=True)]


def _number(value: float | None, decimals: int = 1) -> str:
    return NOTHING if value is None else f"{value:.{decimals}f}"


def _seconds(value: float | None) -> str:
    """Return `value` to the millisecond, or less exactly where that would take more than five characters."""
    decimals = 3
    while value is not None and decimals and round(value, decimals) >= 10 ** (4 - decimals):
        decimals -= 1
    return _number(value, decimals)


def _percent(summary: Summary) -> str:
    """Return the success rate, cut rather than rounded: 100% means that nothing failed."""
    if not summary.requests:
        return NOTHING
    hundredths = summary.ok * 10_000 // summary.requests
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def _percentiles(percentiles: Percentiles) -> str:
    return _three(_seconds(percentiles.p50), _seconds(percentiles.p95), _seconds(percentiles.p99))


def _three(*texts: str) -> str:
    return " ".join(f"{text:>5}" for text in texts)


_COLUMNS = [
    _Column("", "window", lambda summary: summary.window.name),
    _Column("", "requests", lambda summary: str(summary.requests)),
    _Column("", "success", _percent),
    _Column("", "req/min", lambda summary: _number(summary.requests_per_minute)),
    _Column("", "audio min", lambda summary: _number(summary.audio_s / 60)),
    _Column("", "RTFx", lambda summary: _number(summary.rtfx)),
    _Column("total s", _three("p50", "p95", "p99"), lambda summary: _percentiles(summary.total_s)),
    _Column("queue wait s", _three("p50", "p95", "p99"), lambda summary: _percentiles(summary.queue_wait_s)),
    _Column("inference s", _three("p50", "p95", "p99"), lambda summary: _percentiles(summary.inference_s)),
    _Column("", "batch", lambda summary: _number(summary.mean_batch_size, 2)),
]
