"""A line of the metrics log read back as numbers."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from src.metrics.record import Record


class Failure(NamedTuple):
    """A kind of error: the HTTP status and the word for it, which may be empty."""

    code: int
    error: str

    def __str__(self) -> str:
        return f"{self.code} {self.error}".rstrip()


class Row(NamedTuple):
    """One request as numbers, NaN for what it does not have."""

    ts: float
    """When it ended, in Unix seconds."""
    failure: float
    """What it failed with, as the number of its `Failure`; -1 for a success."""
    audio_s: float
    total_s: float
    queue_wait_s: float
    inference_s: float
    batch_size: float


class Parser:
    """Reads lines, and numbers the kinds of failure as it meets them: `failures[kind]` is the number."""

    def __init__(self) -> None:
        self.failures: dict[Failure, int] = {}

    def parse(self, line: bytes) -> Row | None:
        """Return the request that `line` tells of; `None` if it is no line of the log.

        Any JSON object with `ts`, `status` and `code` is one, but lines as the service writes them take half the time.
        """
        try:
            own = _OWN_LINE.fullmatch(line)
            return self._own_row(own.groups()) if own else self._row(json.loads(line))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def _own_row(self, values: Sequence[Any]) -> Row:
        ts, status, code, audio_s, inference_s, total_s, queue_wait_s, batch_size, error = values
        return Row(
            float(ts),
            -1 if status == b"ok" else self._failure(status.decode(), int(code), (error or b"").decode()),
            math.nan if audio_s is None else float(audio_s),
            float(total_s),
            math.nan if queue_wait_s is None else float(queue_wait_s),
            math.nan if inference_s is None else float(inference_s),
            math.nan if batch_size is None else float(batch_size),
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
        )

    def _failure(self, status: object, code: object, error: object) -> int:
        if status != "error" or type(code) is not int or not isinstance(error, str | None):
            raise ValueError
        return self.failures.setdefault(Failure(code, error or ""), len(self.failures))


def _timestamp(value: object) -> float:
    """Return Unix seconds, from them or from ISO 8601, which is UTC unless it says otherwise."""
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
    if (type(value) is float or type(value) is int) and math.isfinite(value):  # a bool is no number
        return value
    raise ValueError


_OWN_GROUPS = (
    "ts",
    "status",
    "code",
    "audio_len_s",
    "duration_inference_s",
    "duration_total_s",
    "queue_wait_s",
    "batch_size",
    "error",
)


def _own_line() -> re.Pattern[bytes]:
    """Return the pattern of `Record.to_line`, without strings that need escapes; its groups are the fields above."""
    values = []
    for field in fields(Record):
        group = "(" if field.name in _OWN_GROUPS else "(?:"
        is_text, is_optional = "str" in str(field.type), "None" in str(field.type)
        text, number = r"[ -!#-\[\]-~]*", r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:e-\d{1,3})?"
        value = f'"{group}{text})"' if is_text else f"{group}{number})"
        values.append(f'"{field.name}":' + (f"(?:null|{value})" if is_optional else value))
    return re.compile(f"{{{','.join(values)}}}\n".encode())


_OWN_LINE = _own_line()
