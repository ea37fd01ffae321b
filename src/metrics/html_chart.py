"""A panel as an inline SVG that fits any width: places are percentages, and text and strokes keep their size."""

from collections.abc import Iterator, Sequence
from html import escape

from src.metrics.figures import clock, day, period
from src.metrics.panels import Panel, Trend, Values
from src.metrics.scale import Scale, Tick, time_ticks
from src.metrics.series import Series

HEIGHT = 140
"""Height of the plot in CSS pixels, as in load.css."""
_UNITS = 1000
"""Height of the plot in the units of its paths; its width has one unit for each bin."""
_TEXT_BELOW = 16
_NARROW = 0.09
"""Shares of the width below this have no room for a label."""


def chart(panel: Panel, series: Series) -> str:
    """Return the SVG of a panel that is not empty."""
    scale = panel.scale
    label = escape(f"{panel.title}: {panel.unit}. The values are in the table.")
    return "".join(
        [
            f'<svg class="chart" role="img" tabindex="0" aria-label="{label}" height="{HEIGHT}">',
            *_gaps(series),
            *map(_horizontal, scale.ticks),
            *_times(series),
            f'<svg width="100%" height="{HEIGHT}" viewBox="0 0 {len(series.bins)} {_UNITS}"'
            ' preserveAspectRatio="none">',
            *(_bars(panel, scale) if panel.bars else _lines(panel.trends, scale)),
            "</svg>",
            *_restarts(series),
            f'<line class="cursor" y1="0" y2="{HEIGHT}"/>',
            "</svg>",
        ]
    )


def _horizontal(tick: Tick) -> str:
    y = _rounded(HEIGHT * (1 - tick.place))
    return (
        f'<line class="rule" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
        f'<text class="value" x="-8" y="{y}" dy="0.32em">{tick.label}</text>'
    )


def _times(series: Series) -> Iterator[str]:
    for index, tick in enumerate(time_ticks(series.start_s, series.end_s)):
        x, kind = _percent(tick.place), ("", " odd", " second", " odd")[index % 4]  # narrow screens leave some out
        kind += " last" if tick.place > 1 - _NARROW / 3 else ""
        yield f'<line class="tick" x1="{x}" x2="{x}" y1="{HEIGHT}" y2="{HEIGHT + 4}"/>'
        yield f'<text class="time{kind}" x="{x}" y="{HEIGHT + _TEXT_BELOW}">{tick.label}</text>'


def _gaps(series: Series) -> Iterator[str]:
    """Yield a band for each time without a sign of the service."""
    for gap in series.uptime.gaps:
        start, end = (_place(series, ts) for ts in (gap.start_s, gap.end_s))
        if end <= start:
            continue
        title = f"No sign of the service: {period(gap.start_s, gap.end_s)}"
        x, width = _percent(start), _percent(end - start)
        yield f'<rect class="gap" x="{x}" y="0" width="{width}" height="{HEIGHT}"><title>{title}</title></rect>'
        if end - start >= _NARROW:
            yield f'<text class="gap-label" x="{_percent((start + end) / 2)}" y="12">no service</text>'


def _restarts(series: Series) -> Iterator[str]:
    for ts, replica in series.uptime.restarts:
        if series.start_s < ts < series.end_s:
            x = _percent(_place(series, ts))
            who = f"Replica {escape(replica)}" if replica else "The service"
            title = f"{who} started: {day(ts)}, {clock(ts)} UTC"
            yield f'<line class="restart" x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}"><title>{title}</title></line>'


def _bars(panel: Panel, scale: Scale) -> Iterator[str]:
    """Yield a path for each trend, with all its bars."""
    width = 1 if len(panel.trends[0].values) > 100 else 0.86  # of few bars each is seen by itself
    below: Sequence[float] = [0.0] * len(panel.trends[0].values)
    for trend, edges in zip(panel.trends, panel.stacked(), strict=True):
        bars = []
        for index, (low, high) in enumerate(zip(below, edges, strict=True)):
            top, bottom = _height(scale, high), _height(scale, low)
            if high > low:
                x = _rounded(index + (1 - width) / 2)
                bars.append(f"M{x} {bottom}V{top}h{width}V{bottom}z")
        yield f'<path class="bar {trend.shade}" d="{"".join(bars)}"/>' if bars else ""
        below = edges


def _lines(trends: Sequence[Trend], scale: Scale) -> Iterator[str]:
    """Yield a path for each trend. The first is drawn last, above the others."""
    for trend in reversed(trends):
        path = "".join(_run(start, values, scale) for start, values in runs(trend.values))
        if path:
            yield f'<path class="line {trend.shade}{" dashed" if trend.dashed else ""}" d="{path}"/>'


def runs(values: Values) -> Iterator[tuple[int, list[float]]]:
    """Yield the stretches of values that are known, each with the number of its first bin."""
    run: list[float] = []
    for index, value in enumerate([*values, None]):
        if value is not None:
            run.append(value)
        elif run:
            yield index - len(run), run
            run = []


def _run(start: int, values: Sequence[float], scale: Scale) -> str:
    """Return the path through the middles of bins; a single one is a dash as wide as its bin."""
    heights = [_height(scale, value) for value in values]
    if len(heights) == 1:
        return f"M{start} {heights[0]}h1"
    return "M" + "L".join(f"{start + index + 0.5} {height}" for index, height in enumerate(heights))


def _height(scale: Scale, value: float) -> int:
    return round(_UNITS * (1 - scale.place(value)))


def _place(series: Series, ts: float) -> float:
    """Return where a time lies between the series' start and end, 0 to 1."""
    return min(1.0, max(0.0, (ts - series.start_s) / (series.end_s - series.start_s)))


def _percent(place: float) -> str:
    return f"{_rounded(place * 100)}%"


def _rounded(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
