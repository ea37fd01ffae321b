"""A plot of requests, latency and errors over time, as a PNG. Needs matplotlib (the extra `plot`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from src.metrics.history import Column, Requests
from src.metrics.parser import Failure
from src.metrics.report import Percentiles, ReportWindow, count_failures

BINS = 120
SHORTEST_S = 60.0
"""Shortest time span of a plot, so that a few requests are not stretched over its whole width."""
DAY_S = 86400
"""matplotlib's unit of time is days since 1970."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The requests that ended in one of the equal slices of time of a plot."""

    start_s: float
    width_s: float
    ok: int
    errors: dict[Failure, int]
    total_s: Percentiles


def split_into_bins(requests: Requests, window: ReportWindow, now: float) -> list[Bin]:
    """Return the bins of the window that ends at `now` (Unix seconds), without the time before its first request.

    Raises:
        ValueError: the window has no requests.
    """
    inside = requests.between(now - window.seconds, now)
    start = min(float(inside["ts"].min()), now - SHORTEST_S)
    edges = np.linspace(start, now, BINS + 1)
    bin_of = np.digitize(inside["ts"], edges[1:-1])
    width_s = (now - start) / BINS
    return [_bin(float(edge), width_s, inside.where(bin_of == index)) for index, edge in enumerate(edges[:-1])]


def _bin(start_s: float, width_s: float, requests: Requests) -> Bin:
    done = requests.where(requests.ok)
    return Bin(
        start_s=start_s,
        width_s=width_s,
        ok=len(done),
        errors=count_failures(requests),
        total_s=Percentiles.of(done["duration_total_s"]),
    )


def draw(bins: Sequence[Bin], path: Path) -> None:
    """Write a plot of at least one bin to `path` as a PNG.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(12, 9), layout="constrained")
    load, latency, errors = figure.subplots(3, sharex=True)
    _draw_load(load, bins)
    _draw_latency(latency, bins)
    _draw_errors(errors, bins)
    locator = AutoDateLocator()
    errors.xaxis.set_major_locator(locator)
    errors.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    errors.set_xlabel(f"UTC, {bins[0].width_s / 60:.3g} minutes for each bar")
    figure.savefig(path, format="png", dpi=100)


def _draw_load(axes: Axes, bins: Sequence[Bin]) -> None:
    per_minute = 60 / bins[0].width_s
    ok = np.array([each.ok for each in bins]) * per_minute
    failed = np.array([sum(each.errors.values()) for each in bins]) * per_minute
    _draw_bars(axes, bins, ok, label="ok", color="tab:blue")
    _draw_bars(axes, bins, failed, bottom=ok, label="errors", color="tab:red")
    axes.set_ylabel("requests per minute")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _draw_latency(axes: Axes, bins: Sequence[Bin]) -> None:
    middles = [(each.start_s + each.width_s / 2) / DAY_S for each in bins]
    for name in ("p50", "p95", "p99"):
        values = [getattr(each.total_s, name) for each in bins]
        axes.plot(middles, [np.nan if value is None else value for value in values], marker=".", label=name)
    axes.set_ylabel("total of successes, s")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _draw_errors(axes: Axes, bins: Sequence[Bin]) -> None:
    below = np.zeros(len(bins))
    for kind in sorted({kind for each in bins for kind in each.errors}):
        counts = np.array([each.errors.get(kind, 0) for each in bins])
        _draw_bars(axes, bins, counts, bottom=below, label=str(kind))
        below = below + counts
    axes.set_ylabel("errors")
    if below.any():
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _draw_bars(axes: Axes, bins: Sequence[Bin], heights: Column, **style: Any) -> None:
    starts = [each.start_s / DAY_S for each in bins]
    axes.bar(starts, heights, bins[0].width_s / DAY_S, align="edge", **style)
