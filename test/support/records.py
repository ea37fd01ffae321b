"""Metrics records, and a log file of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from src.metrics import Record
from src.metrics.history import History
from src.metrics.log_set import LogSet

NOW = 1_795_000_000.0


def a_record(ts: float = NOW, **changes: Any) -> Record:
    """Return the record of a successful request that ended at `ts`, with `changes`."""
    values = {
        "status": "ok",
        "code": 200,
        "audio_len_s": 10.0,
        "duration_preprocess_s": 0.01,
        "duration_inference_s": 0.08,
        "duration_total_s": 0.12,
        "queue_wait_s": 0.02,
        "model": "tiny",
        "request_id": "req-1",
        "route": "/v1/audio/transcriptions",
        "lane": 0,
        "batch_size": 4,
        "error": None,
    }
    return Record(ts=ts, **{**values, **changes})


def a_failure(code: int, error: str | None, ts: float = NOW, **changes: Any) -> Record:
    """Return the record of a request that was rejected before its body was read, with `changes`."""
    nothing = dict.fromkeys(
        ["audio_len_s", "duration_preprocess_s", "duration_inference_s", "queue_wait_s", "lane", "batch_size"]
    )
    return a_record(ts, **{**nothing, "status": "error", "code": code, "error": error, **changes})


def write_log(path: Path, records: Iterable[Record]) -> Path:
    """Write `records` to one file of a log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(record.to_line() + "\n" for record in records))
    return path


def history_of(path: Path, since: float = 0.0) -> History:
    """Return the history of a log after its first update."""
    history = History(LogSet([path]))
    history.update(since)
    return history
