"""The panels of a picture: what is shown of a series, in which words and numbers. `html_chart` and `plot` draw them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from src.metrics.figures import MISSING, length, number, seconds, share, shortened
from src.metrics.outcome import RequestOutcome
from src.metrics.parser import Failure
from src.metrics.quantiles import Quantiles
from src.metrics.scale import Scale, linear_scale, log_scale
from src.metrics.series import Series
from src.metrics.tally import Tally

Values = Sequence[float | None]
"""A value for each bin; None where there is none."""
Cells = Sequence[str]

ERROR_KINDS = 4
"""Kinds of error that have a colour of their own: the most frequent. The others share one."""
_KIND_SHADES = ("first", "second", "third", "fourth")


@dataclass(frozen=True, slots=True)
class Trend:
    """A series of values over the bins, with its name and its colour in the palette."""

    name: str
    shade: str
    values: Values
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture over time.

    `bars` are stacked; else the trends are lines. `unit` says in words what the vertical axis counts. `overview` is the
    small table beside the picture, its first row the headings. `absent` is the sentence that stands in place of a
    picture without values. Values are whole numbers if `whole`.
    """

    key: str
    title: str
    unit: str
    trends: Sequence[Trend]
    overview: Sequence[Cells]
    text: Callable[[float | None], str]
    bars: bool = False
    log: bool = False
    whole: bool = False
    absent: str = "No request says anything of it."

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(value is None for trend in self.trends for value in trend.values)

    @property
    def scale(self) -> Scale:
        """The vertical scale that holds all values."""
        known = [value for trend in self.trends for value in trend.values if value is not None]
        if self.log:
            return log_scale(min(known, default=1.0), max(known, default=1.0))
        return linear_scale(max(self.stacked()[-1] if self.bars else known, default=0.0), whole=self.whole)

    def stacked(self) -> list[list[float]]:
        """Return the upper edge of each trend in each bin when bars stand on each other; the lowest is first."""
        edges: list[list[float]] = []
        below = [0.0] * len(self.trends[0].values)
        for trend in self.trends:
            below = [base + (value or 0.0) for base, value in zip(below, trend.values, strict=True)]
            edges.append(below)
        return edges


def panels_of(series: Series) -> list[Panel]:
    """Return the panels of a series, in the order in which they are shown."""
    each = f"{length(series.width_s)} each"
    return [
        _outcomes(series, each),
        _durations(series, "latency", "Latency", f"from arrival to answer, successes, {each}", lambda t: t.total),
        _durations(series, "queue-wait", "Queue wait", f"wait of the first clip, {each}", lambda t: t.queue_wait),
        _batch_size(series, each),
        _audio(series, each),
        _rtfx(series, each),
        _sessions(series, each),
        _errors(series, each),
    ]


def _outcomes(series: Series, each: str) -> Panel:
    total = series.total
    counts = {outcome: total.count_of(outcome) for outcome in RequestOutcome}
    rows = [(outcome.value, str(count), share(count, total.requests)) for outcome, count in counts.items()]
    return Panel(
        key="requests",
        title="Requests by outcome",
        unit=f"requests, {each}",
        trends=[
            Trend(
                outcome.value,
                outcome.value.replace(" ", "-"),
                _counts(series, partial(Tally.count_of, outcome=outcome)),
            )
            for outcome in RequestOutcome
        ],
        overview=[("outcome", "requests", "share"), *rows, ("all", str(total.requests), "")],
        text=_whole,
        whole=True,
        bars=True,
    )


def _durations(series: Series, key: str, title: str, unit: str, of: Callable[[Tally], Quantiles]) -> Panel:
    overall = of(series.total).percentiles()
    found = [of(tally).percentiles() if tally else None for tally in series.bins]
    styles = (("p50", "accent", False), ("p95", "ink", False), ("p99", "ink-soft", True))
    trends = [
        Trend(name, shade, [getattr(one, name) if one else None for one in found], dashed)
        for name, shade, dashed in styles
    ]
    highest = [max((value for value in trend.values if value is not None), default=None) for trend in trends]
    rows = [
        (trend.name, seconds(getattr(overall, trend.name)), seconds(most))
        for trend, most in zip(trends, highest, strict=True)
    ]
    return Panel(
        key=key,
        title=title,
        unit=f"seconds, log scale, {unit}",
        trends=trends,
        overview=[("percentile", "all, s", "highest, s"), *rows],
        text=seconds,
        log=True,
        absent="No request succeeded.",
    )


def _batch_size(series: Series, each: str) -> Panel:
    total = series.total
    largest = total.largest_batch or None
    return Panel(
        key="batch-size",
        title="Batch size",
        unit=f"clips in a request's batch, {each}",
        trends=[
            Trend("mean", "accent", _known(series, lambda t: t.mean_batch_size)),
            Trend("largest", "ink-soft", _known(series, lambda t: t.largest_batch or None), dashed=True),
        ],
        overview=[
            ("batch", "clips"),
            ("mean", number(total.mean_batch_size, 2)),
            ("largest", number(largest, 0)),
        ],
        text=lambda value: number(value, 2),
        absent="No request was in a batch.",
    )


def _audio(series: Series, each: str) -> Panel:
    minutes = series.total.audio_s / 60
    return Panel(
        key="audio",
        title="Audio",
        unit=f"minutes of audio of the successes, {each}",
        trends=[Trend("audio", "success", _counts(series, lambda t: t.audio_s / 60))],
        overview=[("audio", "min"), ("all", number(minutes)), ("in an hour", number(minutes / _hours(series)))],
        text=lambda value: number(value, 2),
        bars=True,
    )


def _rtfx(series: Series, each: str) -> Panel:
    return Panel(
        key="rtfx",
        title="RTFx",
        unit=f"seconds of audio per second that the model was busy, {each}",
        trends=[Trend("RTFx", "accent", _known(series, lambda t: t.rtfx))],
        overview=[
            ("model", ""),
            ("RTFx", number(series.total.rtfx)),
            ("busy, s", number(series.total.busy_s)),
        ],
        text=number,
        absent="The model was not busy.",
    )


def _sessions(series: Series, each: str) -> Panel:
    most = _not_nan(series.total.most_sessions)
    return Panel(
        key="sessions",
        title="Live sessions",
        unit=f"realtime sessions open at a time, most in {each}",
        trends=[Trend("sessions", "accent", _known(series, lambda t: _not_nan(t.most_sessions)))],
        overview=[("sessions", "open"), ("most", number(most, 0))],
        text=_whole,
        whole=True,
        absent="The log does not say how many were open. Lines of this version of the service do.",
    )


def _errors(series: Series, each: str) -> Panel:
    counts = series.total.failures
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    shown = kinds if len(kinds) <= ERROR_KINDS + 1 else kinds[:ERROR_KINDS]
    trends = [
        Trend(shortened(str(kind)), shade, _counts(series, partial(_failures, kinds=[kind])))
        for kind, shade in zip(shown, (*_KIND_SHADES, "others"), strict=False)
    ]
    if len(shown) < len(kinds):
        others = partial(_failures, kinds=kinds[ERROR_KINDS:])
        trends.append(Trend("others", "others", _counts(series, others)))
    return Panel(
        key="errors",
        title="Errors by code",
        unit=f"errors, {each}",
        trends=trends,
        overview=[("status", "code", "requests"), *((str(k.code), k.error or MISSING, str(counts[k])) for k in kinds)],
        text=_whole,
        whole=True,
        bars=True,
        absent="No request ended in an error.",
    )


def _failures(tally: Tally, kinds: Sequence[Failure]) -> int:
    return sum(tally.failures[kind] for kind in kinds)


def _counts(series: Series, of: Callable[[Tally], float]) -> Values:
    """Return a count for each bin: 0 where no request ended while the service may have run, None where it did not."""
    return [of(tally) if tally else None if _is_down(series, index) else 0 for index, tally in enumerate(series.bins)]


def _known(series: Series, of: Callable[[Tally], float | None]) -> Values:
    return [of(tally) if tally else None for tally in series.bins]


def _is_down(series: Series, index: int) -> bool:
    """Whether a bin lies wholly in a gap."""
    start = series.start_s + index * series.width_s
    return any(gap.start_s <= start and start + series.width_s <= gap.end_s for gap in series.uptime.gaps)


def _hours(series: Series) -> float:
    return (min(series.end_s, series.now) - series.start_s) / 3600


def _not_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _whole(value: float | None) -> str:
    return number(value, 0)


@dataclass(frozen=True, slots=True)
class Group:
    """The requests of one route, model or replica."""

    name: str
    tally: Tally


def groups_of(series: Series, field: str) -> list[Group]:
    """Return the requests by `route`, `model` or `replica`, the busiest first. A replica's name may be empty."""
    names: dict[str, list[Tally]] = {}
    if field == "replica":
        names = {name: [tally] for name, tally in series.replicas.items()}
    else:
        for source, tally in series.sources.items():
            names.setdefault(getattr(source, field), []).append(tally)
    groups = [Group(name, Tally.merged(tallies)) for name, tallies in names.items()]
    return sorted(groups, key=lambda group: (-group.tally.requests, group.name))


def value_rows(panel: Panel, series: Series) -> Iterator[tuple[float, Cells]]:
    """Yield the start of each bin and the text of each trend's value."""
    for index in range(len(series.bins)):
        yield series.start_s + index * series.width_s, [panel.text(trend.values[index]) for trend in panel.trends]
