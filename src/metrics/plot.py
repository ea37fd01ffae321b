"""The operator's picture as a PNG: the panels of the HTML page, drawn by matplotlib (the extra `plot`)."""

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from src.metrics.figures import length, moment
from src.metrics.palette import PALETTE
from src.metrics.panels import Panel, Trend, panels_of
from src.metrics.scale import time_ticks
from src.metrics.series import Series

WIDTH_IN = 12
PANEL_IN = 1.75
"""Height of a panel in inches."""
DPI = 100
INK, SOFT, HAIRLINE, PAPER = (PALETTE[name].light for name in ("ink", "ink-soft", "hairline", "paper"))


def draw(series: Series) -> bytes:
    """Return the panels of a series that have values, one below the other, as a PNG."""
    panels = [panel for panel in panels_of(series) if not panel.is_empty]
    figure = Figure(
        figsize=(WIDTH_IN, PANEL_IN * len(panels) + 0.8), layout=ConstrainedLayoutEngine(hspace=0.06), facecolor=PAPER
    )
    figure.suptitle(_range_in_words(series), x=0.01, ha="left", fontsize=11, color=INK)
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw_panel(axes, panel, series)
    ticks = time_ticks(series.start_s, series.end_s)
    span_s = series.end_s - series.start_s
    all_axes[-1].set_xticks([tick.place * span_s for tick in ticks], [tick.label for tick in ticks])
    all_axes[-1].set_xlim(0, span_s)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def _range_in_words(series: Series) -> str:
    return f"{moment(series.start_s)}, to {moment(min(series.end_s, series.now))}, {length(series.width_s)} each"


def _draw_panel(axes: Axes, panel: Panel, series: Series) -> None:
    scale = panel.scale
    _style(axes)
    axes.set_title(f"{panel.title}: {panel.unit}", loc="left", fontsize=10, color=INK)
    if panel.log:
        axes.set_yscale("log")
    axes.set_yticks([scale.value(tick.place) for tick in scale.ticks], [tick.label for tick in scale.ticks])
    axes.minorticks_off()
    axes.set_ylim(scale.low, scale.high)
    _draw_uptime(axes, series)
    if panel.bars:
        _draw_bars(axes, panel, series)
    else:
        for index, trend in enumerate(panel.trends):
            _draw_line(axes, trend, scale.low, series, zorder=4 - 0.1 * index)  # the first above the others
    if len(panel.trends) > 1:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 0.97),
            ncols=len(panel.trends),
            fontsize=9,
            frameon=False,
            labelcolor=INK,
        )


def _style(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.grid(axis="y", color=HAIRLINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize=9, length=3, color=HAIRLINE)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(HAIRLINE)


def _draw_uptime(axes: Axes, series: Series) -> None:
    """Draw the times without a sign of the service, and a dotted line at each start."""
    span_s = series.end_s - series.start_s
    for gap in series.uptime.gaps:
        start, end = (min(span_s, max(0.0, ts - series.start_s)) for ts in (gap.start_s, gap.end_s))
        if end > start:
            gap_colour = PALETTE["gap"].light
            axes.axvspan(start, end, facecolor="none", edgecolor=gap_colour, hatch="////", linewidth=0, zorder=0.5)
    for process in series.uptime.restarts:
        if series.start_s < process.started < series.end_s:
            axes.axvline(process.started - series.start_s, color=SOFT, linewidth=0.8, linestyle=":")


def _draw_bars(axes: Axes, panel: Panel, series: Series) -> None:
    starts = series.width_s * np.arange(len(series.bins))
    width = series.width_s * (1 if len(series.bins) > 100 else 0.86)
    below = np.zeros(len(series.bins))
    for trend, edges in zip(panel.trends, panel.stacked(), strict=True):
        heights = np.array(edges) - below
        axes.bar(
            starts + series.width_s / 2,
            heights,
            width,
            bottom=below,
            label=trend.name.replace("$", r"\$"),
            color=PALETTE[trend.shade].light,
            linewidth=0,
        )
        below = np.array(edges)


def _draw_line(axes: Axes, trend: Trend, lowest: float, series: Series, zorder: float) -> None:
    """Draw a line through the middles of bins, broken where there is no value; a single value is a point."""
    values = np.array([np.nan if value is None else max(value, lowest) for value in trend.values])
    middles = series.width_s * (np.arange(len(values)) + 0.5)
    width = 2 if trend.shade == "accent" else 1.3
    style: dict[str, Any] = {"color": PALETTE[trend.shade].light, "linewidth": width, "zorder": zorder}
    axes.plot(middles, values, label=trend.name.replace("$", r"\$"), linestyle="--" if trend.dashed else "-", **style)
    known = ~np.isnan(values)
    lone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    axes.plot(middles[lone], values[lone], linestyle="none", marker="_", **style)
