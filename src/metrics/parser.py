"""Parsing lines of the metrics log into numbers."""

import json
import math
import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args, get_type_hints

from src.metrics.record import OPTIONAL_NAMES, Record

MOST = 1e15
"""Numbers beyond it, or below its negative, are no measurements; sums of what is left do not overflow."""
UNKNOWN = "unknown"
"""Model or route of a line that names none."""


class Failure(NamedTuple):
    """A kind of failure: the HTTP status and the error's code, which may be empty."""

    code: int
    error: str

    def __str__(self) -> str:
        return f"{self.code} {self.error}".rstrip()


class Source(NamedTuple):
    """Where requests came in: the model's name and the path template of the route."""

    model: str
    route: str


class Row(NamedTuple):
    """One line as numbers, most of them named like the fields of `Record`; NaN for null."""

    ts: float
    """End of the request, in Unix seconds."""
    failure: float
    """Number of its `Failure`; -1 for a success."""
    audio_len_s: float
    duration_total_s: float
    queue_wait_s: float
    duration_inference_s: float
    batch_size: float
    requests: float
    """Number of requests that the line stands for: its `count`."""
    source: float
    """Number of its `Source`."""
    sessions: float
    process_started: float
    replica: float
    """Number of its replica."""


class Parser:
    """Parses lines, and numbers the kinds of failure and the sources in the order in which they first occur.

    Attributes:
        failures: the number of each kind of failure.
        sources: the number of each source.
        replicas: the number of each replica, by its name; a line that names none is of the replica without a name.
    """

    def __init__(self) -> None:
        self.failures: dict[Failure, int] = {}
        self.sources: dict[Source, int] = {}
        self.replicas: dict[str, int] = {}
        self._sources_as_written: dict[tuple[bytes, bytes], int] = {}

    def parse(self, line: bytes) -> Row | None:
        """Return the request of a line, or None if it is not a line of the log.

        Any JSON object with `ts`, `status` and `code` is a line of the log. Lines exactly as the service writes them
        take half the time.
        """
        try:
            match = _FAST_LINE.fullmatch(line)
            return self._fast_row(match) if match else self._row(json.loads(line))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def _fast_row(self, match: re.Match[bytes]) -> Row:
        ts, status, code, audio_len_s, inference_s, total_s, queue_wait_s, model, route, batch_size, *rest = (
            match.groups()
        )
        error, sessions, process_started, count, replica = rest
        return Row(
            float(ts),
            -1 if status == b"ok" else self._failure(status.decode(), int(code), (error or b"").decode()),
            math.nan if audio_len_s is None else float(audio_len_s),
            float(total_s),
            math.nan if queue_wait_s is None else float(queue_wait_s),
            math.nan if inference_s is None else float(inference_s),
            math.nan if batch_size is None else float(batch_size),
            1 if count is None else _count(float(count)),
            self._source_as_written(model, route),
            math.nan if sessions is None else float(sessions),
            math.nan if process_started is None else float(process_started),
            self._replica((replica or b"").decode()),
        )

    def _row(self, entry: dict[str, Any]) -> Row:
        return Row(
            _timestamp(entry["ts"]),
            -1 if entry["status"] == "ok" else self._failure(entry["status"], entry["code"], entry.get("error")),
            _number(entry.get("audio_len_s")),
            _number(entry.get("duration_total_s")),
            _number(entry.get("queue_wait_s")),
            _number(entry.get("duration_inference_s")),
            _number(entry.get("batch_size")),
            _count(entry.get("count", 1)),
            self._source(entry.get("model"), entry.get("route")),
            _number(entry.get("sessions")),
            _number(entry.get("process_started")),
            self._replica(entry.get("replica")),
        )

    def _failure(self, status: object, code: object, error: object) -> int:
        if status != "error" or type(code) is not int or not isinstance(error, str | None):
            raise ValueError
        return self.failures.setdefault(Failure(code, error or ""), len(self.failures))

    def _replica(self, name: object) -> int:
        return self.replicas.setdefault(name if isinstance(name, str) else "", len(self.replicas))

    def _source_as_written(self, model: bytes, route: bytes) -> int:
        known = self._sources_as_written.get((model, route))
        if known is None:
            known = self._source(model.decode(), route.decode())
            self._sources_as_written[model, route] = known
        return known

    def _source(self, model: object, route: object) -> int:
        """Return the number of a source. What is no text is unknown: logs of other programs may lack both."""
        source = Source(*(each if isinstance(each, str) and each else UNKNOWN for each in (model, route)))
        return self.sources.setdefault(source, len(self.sources))


def _timestamp(value: object) -> float:
    """Return Unix seconds, given as a number or as ISO 8601, which is UTC if it has no offset."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    number = _number(value)
    if math.isnan(number):
        raise ValueError
    return number


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if (type(value) is float or type(value) is int) and abs(value) <= MOST:  # a bool is not a number here, nor is NaN
        return value
    raise ValueError


def _count(value: object) -> float:
    number = _number(value)
    if number >= 1 and number == int(number):
        return number
    raise ValueError


_FAST_FIELDS = (
    "ts",
    "status",
    "code",
    "audio_len_s",
    "duration_inference_s",
    "duration_total_s",
    "queue_wait_s",
    "model",
    "route",
    "batch_size",
    "error",
    "sessions",
    "process_started",
    "count",
    "replica",
)
"""The fields of `Record` that `Parser._fast_row` unpacks, in the order of the record."""
_NUMBER = r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:e-\d{1,3})?"
_TEXT = r"[ -!#-\[\]-~]*"
_PATTERNS = {float: ("", _NUMBER), int: ("", _NUMBER), str: ('"', _TEXT)}
"""The quote around a value of each type in a `Record`, and the pattern of the value."""


def _compile_fast_line() -> re.Pattern[bytes]:
    """Return the pattern of a line as `Record.to_line` writes it, with a group for each of `_FAST_FIELDS`.

    It does not match a line whose strings have escapes.

    Raises:
        KeyError: a field of `Record` has a type without a pattern.
    """
    types = get_type_hints(Record)
    items = {field.name: _item_pattern(field.name, types[field.name]) for field in fields(Record)}
    required = ",".join(item for name, item in items.items() if name not in OPTIONAL_NAMES)
    extras = "".join(f"(?:,{items[name]})?" for name in OPTIONAL_NAMES)
    return re.compile(f"{{{required}{extras}}}\n".encode())


def _item_pattern(name: str, annotated: Any) -> str:
    """Return the pattern of a key and its value. The type is one of those in `_PATTERNS`, or one of those or None."""
    optional = type(None) in get_args(annotated)
    (kind,) = set(get_args(annotated)) - {type(None)} if optional else {annotated}
    quote, pattern = _PATTERNS[kind]
    value = f"{quote}{'(' if name in _FAST_FIELDS else '(?:'}{pattern}){quote}"
    return f'"{name}":' + (f"(?:null|{value})" if optional else value)


_FAST_LINE = _compile_fast_line()
