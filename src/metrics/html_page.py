"""The operator's picture as one HTML file: no network, no file beside it, and complete without its script."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from importlib import resources

from src.metrics.figures import clock, day, length, moment, number, period, seconds, share
from src.metrics.html_chart import chart
from src.metrics.outcome import RequestOutcome
from src.metrics.palette import PALETTE
from src.metrics.panels import Cells, Group, Panel, groups_of, panels_of, value_rows
from src.metrics.report import ReportWindow
from src.metrics.series import Reading, Series

MOST_GROUPS = 20
"""Routes, models or replicas that are listed: the busiest."""
UNNAMED = "no name"
"""What stands for the replica of lines that name none, beside others."""
MOST_GAPS = 4
"""Times without the service that are told in words: the latest."""
_DEFINITIONS = (
    ("refused", "answered with 429 or 503: the service could not take or finish the request then, and said so"),
    ("client error", "any other 4xx: the request was wrong, or its client left before the answer (499)"),
    ("failed", "5xx: the service did not do what it should"),
    ("latency", "time from the arrival of a successful request to its end; p95: 95 of 100 were as fast or faster"),
    ("queue wait", "time that the first clip of a successful request waited for the model"),
    ("RTFx", "audio of the successful requests divided by the time that the model was busy"),
    (
        "no service",
        "from the end of a process, or its last request if it was killed, to the next; a dotted line is a start",
    ),
)


def render(reading: Reading, windows: Sequence[ReportWindow], log: str, now: float) -> str:
    """Return the page over `windows`, of which at least one has requests, as they were at `now` (Unix seconds).

    `log` says in the heading what was read.
    """
    style, script = _asset("load.css"), _asset("load.js")
    style = f"{_colours()}\n{style}\n{_pickers(len(windows))}"
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>Load until {moment(now)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<header><h1>Load</h1><p>until {moment(now)} &middot; {escape(log)}</p></header>",
            *_summary(reading, windows),
            *_windows(reading, windows),
            *_footer(reading),
            "</main>",
            '<svg width="0" height="0" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6"'
            ' patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern>'
            "</defs></svg>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _asset(name: str) -> str:
    return (resources.files("src") / "assets" / name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _colours() -> str:
    light = "".join(f"--{name}:{shade.light};" for name, shade in PALETTE.items())
    dark = "".join(f"--{name}:{shade.dark};" for name, shade in PALETTE.items())
    classes = "".join(f".{name}{{--shade:var(--{name})}}" for name in PALETTE)
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{classes}"


def _pickers(count: int) -> str:
    """Return the rules by which a window is shown whose radio button is chosen."""
    return "".join(
        f"#pick{index}:checked~#window{index}{{display:block}}"
        f"#pick{index}:checked~nav label[for=pick{index}]{{color:var(--ink);border-color:var(--accent)}}"
        f"#pick{index}:focus-visible~nav label[for=pick{index}]{{outline:2px solid var(--accent);outline-offset:2px}}"
        for index in range(count)
    )


# -- the table of all windows ------------------------------------------------------------------------------------------

_SUMMARY = (
    "window",
    "requests",
    *(outcome.value for outcome in RequestOutcome),
    "success rate",
    "audio min",
    "RTFx",
    *(f"{what} {name}, s" for what in ("latency", "queue wait") for name in ("p50", "p95", "p99")),
    "batch",
)


def _summary(reading: Reading, windows: Sequence[ReportWindow]) -> Iterator[str]:
    rows = [(window.name, *_summary_row(reading.series.get(window.name))) for window in windows]
    yield '<section class="wide" tabindex="0" aria-label="All windows">'
    yield _table((_SUMMARY, *rows), "summary")
    yield "</section>"


def _summary_row(series: Series | None) -> Cells:
    if series is None:
        return ["0"] * (1 + len(RequestOutcome)) + ["-"] * (len(_SUMMARY) - 2 - len(RequestOutcome))
    total = series.total
    latency, queue_wait = total.total.percentiles(), total.queue_wait.percentiles()
    return [
        str(total.requests),
        *(str(total.count_of(outcome)) for outcome in RequestOutcome),
        share(total.count_of(RequestOutcome.SUCCESS), total.requests),
        number(total.audio_s / 60),
        number(total.rtfx),
        *map(seconds, (latency.p50, latency.p95, latency.p99, queue_wait.p50, queue_wait.p95, queue_wait.p99)),
        number(total.mean_batch_size, 2),
    ]


# -- a window ----------------------------------------------------------------------------------------------------------


def _windows(reading: Reading, windows: Sequence[ReportWindow]) -> Iterator[str]:
    """Yield a radio button for each window, their labels, and what is shown of each. The longest is chosen."""
    chosen = max(range(len(windows)), key=lambda index: windows[index].seconds)
    for index, window in enumerate(windows):
        checked = " checked" if index == chosen else ""
        yield (
            f'<input type="radio" name="window" id="pick{index}" class="pick"'
            f' aria-label="the last {window.name}"{checked}>'
        )
    labels = "".join(f'<label for="pick{index}">{window.name}</label>' for index, window in enumerate(windows))
    yield f'<nav aria-label="Window">{labels}</nav>'
    for index, window in enumerate(windows):
        yield f'<section class="window" id="window{index}" aria-label="The last {window.name}">'
        yield from _window(index, window, reading.series.get(window.name))
        yield "</section>"


def _window(index: int, window: ReportWindow, series: Series | None) -> Iterator[str]:
    if series is None:
        yield f'<h2>The last {window.name}</h2><p class="absent">No request ended in the last {window.name}.</p>'
        return
    yield f"<h2>The last {window.name}</h2>"
    yield f'<p class="range">{_range_in_words(series)}</p>'
    for panel in panels_of(series):
        yield from _figure(f"{panel.key}{index}", panel, series)
    for field in ("route", "model", "replica"):
        groups = groups_of(series, field)
        if field != "replica" or any(group.name for group in groups):
            yield from _breakdown(f"{field}{index}", field, groups)


def _range_in_words(series: Series) -> str:
    """Return which time is shown, in which steps, and what is left out because nothing is in it."""
    end_s = min(series.end_s, series.now)
    sentences = [f"{moment(series.start_s)}, to {moment(end_s)}; {length(series.width_s)} for each value."]
    if series.now > series.end_s:
        sentences.append(f"No request in the {length(series.now - series.end_s)} since then.")
    gaps = [gap for gap in series.uptime.gaps if gap.start_s < end_s and gap.end_s > series.start_s]
    if gaps:
        listed = "; ".join(period(gap.start_s, gap.end_s) for gap in gaps[-MOST_GAPS:])
        more = f" and {len(gaps) - MOST_GAPS} times before" if len(gaps) > MOST_GAPS else ""
        sentences.append(f"No sign of the service: {listed}{more}.")
    return " ".join(sentences)


def _figure(identity: str, panel: Panel, series: Series) -> Iterator[str]:
    yield f'<figure class="panel" id="{identity}">'
    yield f"<figcaption><h3>{panel.title}</h3><p>{escape(panel.unit)}</p>{_legend(panel)}</figcaption>"
    if panel.is_empty:
        yield f'<p class="absent">{escape(panel.absent)}</p></figure>'
        return
    yield f'<div class="plot">{chart(panel, series)}<output class="readout"></output></div>'
    yield _table(panel.overview, "beside")
    yield f"<details><summary>Values, {length(series.width_s)} each</summary>{_values(panel, series)}</details>"
    yield "</figure>"


def _legend(panel: Panel) -> str:
    items = (
        f'<li class="{trend.shade}{" dashed" if trend.dashed else ""}{"" if panel.bars else " stroke"}">'
        f"{escape(trend.name)}</li>"
        for trend in panel.trends
    )
    return f'<ul class="legend">{"".join(items)}</ul>' if len(panel.trends) > 1 else ""


def _values(panel: Panel, series: Series) -> str:
    """Return the table of all values: a row for each bin, named by its start."""
    with_day = series.end_s - series.start_s > 86400
    rows = [
        (f"{day(start)}, {clock(start)}" if with_day else clock(start), *cells)
        for start, cells in value_rows(panel, series)
    ]
    return _table((("from, UTC", *(trend.name for trend in panel.trends)), *rows), "values")


def _breakdown(identity: str, field: str, groups: Sequence[Group]) -> Iterator[str]:
    """Yield a table of routes or models with a bar of outcomes for each, as long as its share of the busiest."""
    yield f'<figure class="panel groups" id="{identity}"><figcaption><h3>By {field}</h3>'
    yield "<p>requests by outcome, latency and audio of the successes</p></figcaption>"
    most = max(group.tally.requests for group in groups)
    headings = (
        field,
        "",
        "requests",
        *(outcome.value for outcome in RequestOutcome),
        "p50, s",
        "p95, s",
        "p99, s",
        "audio min",
    )
    yield f'<div class="wide" tabindex="0" role="region" aria-label="By {field}">'
    yield f'<table class="by-source">{_head(headings)}<tbody>'
    for group in groups[:MOST_GROUPS]:
        yield _group_row(group, most)
    yield "</tbody></table></div>"
    if len(groups) > MOST_GROUPS:
        yield f'<p class="absent">{len(groups) - MOST_GROUPS} more had fewer requests.</p>'
    yield "</figure>"


def _group_row(group: Group, most: int) -> str:
    tally = group.tally
    latency = tally.total.percentiles()
    cells = [
        str(tally.requests),
        *(str(tally.count_of(outcome)) for outcome in RequestOutcome),
        *map(seconds, (latency.p50, latency.p95, latency.p99)),
        number(tally.audio_s / 60),
    ]
    return (
        f'<tr><th scope="row">{escape(group.name or UNNAMED)}</th><td>{_outcome_bar(group, most)}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _outcome_bar(group: Group, most: int) -> str:
    x, rects = 0.0, []
    for outcome in RequestOutcome:
        width = 100 * group.tally.count_of(outcome) / most
        if width:
            shade = outcome.value.replace(" ", "-")
            rects.append(f'<rect class="bar {shade}" x="{x:.2f}" width="{width:.2f}" height="10"/>')
        x += width
    return (
        f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{"".join(rects)}</svg>'
    )


def _footer(reading: Reading) -> Iterator[str]:
    yield "<footer><dl>"
    for term, meaning in _DEFINITIONS:
        yield f"<div><dt>{term}</dt><dd>{meaning}</dd></div>"
    yield "</dl>"
    if reading.skipped_lines:
        yield f"<p>Skipped {reading.skipped_lines} unreadable line{'s' * (reading.skipped_lines != 1)} of the log.</p>"
    yield "</footer>"


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(rows: Iterable[Cells], name: str) -> str:
    """Return a table. The first row has the headings of columns, the first cell of each other row its heading."""
    headings, *others = rows
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for first, *cells in others
    )
    return f'<table class="{name}">{_head(headings)}<tbody>{body}</tbody></table>'


def _head(headings: Cells) -> str:
    cells = "".join(f'<th scope="col">{escape(heading)}</th>' if heading else "<td></td>" for heading in headings)
    return f"<thead><tr>{cells}</tr></thead>"
