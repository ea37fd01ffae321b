"""The tables of a soak test."""

from collections import Counter
from collections.abc import Sequence

import client_report
import verdict
from attempt import Attempt
from columns import Cell, columns
from outcome import Outcome
from process_tree import Reading

BURST = "(in a burst)"


def table(outcome: Outcome) -> str:
    """Return all tables of a soak test."""
    parts = [_requests(outcome), _latencies(outcome), _faults(outcome), _holdings(outcome), _rows(outcome)]
    return "\n".join(parts)


def _requests(outcome: Outcome) -> str:
    kinds = list(dict.fromkeys(_kind(attempt) for attempt, _ in outcome.judged))
    counts = Counter((_kind(attempt), came_to) for attempt, came_to in outcome.judged)
    lines: list[list[Cell]] = [
        [kind, sum(counts[kind, word] for word in verdict.VERDICTS), *(counts[kind, word] for word in verdict.VERDICTS)]
        for kind in kinds
    ]
    total = [sum(int(line[column] or 0) for line in lines) for column in range(1, len(verdict.VERDICTS) + 2)]
    return columns(["requests", "sent", *verdict.VERDICTS], [*lines, ["all", *total]])


def _latencies(outcome: Outcome) -> str:
    right = [attempt for attempt, came_to in outcome.judged if came_to == verdict.RIGHT]
    lines = []
    for kind in dict.fromkeys(map(_kind, right)):
        of_kind = [attempt for attempt in right if _kind(attempt) == kind]
        halves = [
            [attempt for attempt in of_kind if attempt.sent_s < outcome.half_time_s],
            [attempt for attempt in of_kind if attempt.sent_s >= outcome.half_time_s],
        ]
        lines.append([kind, *(value for half in halves for value in _percentiles_ms(half))])
    names = ["latency in ms", "1st half p50", "p95", "p99", "2nd half p50", "p95", "p99"]
    return columns(names, lines)


def _percentiles_ms(attempts: Sequence[Attempt]) -> list[float | None]:
    ordered = sorted(attempt.latency_s * 1000 for attempt in attempts)
    return [client_report.percentile(ordered, percent) for percent in (50, 95, 99)]


def _faults(outcome: Outcome) -> str:
    lines: list[list[Cell]] = [[kind, count, _answers(outcome, kind)] for kind, count in sorted(outcome.faults.items())]
    return columns(["faults", "times", "answered"], lines)


def _answers(outcome: Outcome, kind: str) -> str:
    """Return the outcomes of invalid requests; a fault's name is the plural of its visits' kind."""
    counts = Counter(visit.code for visit in outcome.visits if kind.startswith(visit.kind))
    return ", ".join(f"{code} x {count}" for code, count in sorted(counts.items()))


def _holdings(outcome: Outcome) -> str:
    growth = outcome.growth
    slopes = [growth.rss_mb, growth.children_rss_mb, growth.descriptors, growth.threads]
    lines: list[list[Cell]] = [
        ["at rest, before the last load", *_held(outcome.at_begin)],
        ["at rest, after it", *_held(outcome.at_end)],
        ["slope by the minute, 2nd half", *slopes, None],
        ["slope of each minute's floor", growth.rss_floor_mb, *[None] * 4],
    ]
    return columns(["the service holds", "RSS MB", "children's", "descriptors", "threads", "children"], lines)


def _held(reading: Reading | None) -> list[Cell]:
    if reading is None:
        return [None] * 5
    return [reading.rss_mb, reading.children_rss_mb, reading.descriptors, reading.threads, reading.children]


def _rows(outcome: Outcome) -> str:
    audit, grew = outcome.audit, outcome.growth.in_use_mb
    asked = Counter(life.end_signal.name for life in outcome.lives if life.end_signal)
    rows = [
        ("alone", outcome.like_reference),
        ("processes", f"{len(outcome.lives)}: {', '.join(f'{name} x {count}' for name, count in asked.items())}"),
        ("memory in use", "not measured" if grew is None else f"grew by {grew:.2f} MB a minute, 2nd half"),
        ("metrics log", f"{audit.found} answers found, {audit.excused} lost to a full disk or SIGKILL"),
        ("tracebacks", f"{outcome.tracebacks} in soak-server.log"),
        ("full disk", "a tmpfs" if outcome.disk_mounted else "skipped: this user may not mount a tmpfs"),
        ("findings", str(len(outcome.findings))),
        *(("", finding) for finding in outcome.findings),
    ]
    return client_report.table(rows)


def _kind(attempt: Attempt) -> str:
    return f"{attempt.call.kind} {BURST}" if attempt.burst else attempt.call.kind
