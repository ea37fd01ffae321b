"""The numbers of the report."""

import json
import re
import statistics
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import NOW, a_failure, a_record, history_of, write_log

from src.metrics.report import ReportWindow, summarize

WINDOWS = [ReportWindow.parse(text) for text in ("30m", "1h", "3h", "6h", "12h", "24h", "3d")]
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


def report_on(*records, window: str = "1h"):
    """Return the JSON of one window over `records`, which go through a file."""
    with tempfile.TemporaryDirectory() as folder:
        history = history_of(write_log(Path(folder) / "metrics.log", records))
    return summarize(history.requests, ReportWindow.parse(window), NOW).to_json()


def naive_percentiles(values: list[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if not known:
        return {"p50": None, "p95": None, "p99": None}
    cuts = statistics.quantiles(known, n=100, method="inclusive") if len(known) > 1 else known * 99
    return {f"p{percent}": cuts[percent - 1] for percent in (50, 95, 99)}


def naive_report(entries: list[dict], window: ReportWindow) -> dict:
    """The report's definitions once more, over the lines of the log as plain Python."""
    inside = [entry for entry in entries if NOW - window.seconds < entry["ts"] <= NOW]
    done = [entry for entry in inside if entry["status"] == "ok"]
    failed = [entry for entry in inside if entry["status"] == "error"]
    audio_s = sum(entry["audio_len_s"] or 0 for entry in done)
    busy_s = sum((entry["duration_inference_s"] or 0) / (entry["batch_size"] or 1) for entry in inside)
    batch_sizes = [entry["batch_size"] for entry in inside if entry["batch_size"] is not None]
    return {
        "window": window.name,
        "window_s": window.seconds,
        "requests": len(inside),
        "ok": len(done),
        "success_rate": len(done) / len(inside) if inside else None,
        "requests_per_minute": len(inside) / (window.seconds / 60),
        "audio_minutes": audio_s / 60,
        "rtfx": audio_s / busy_s if busy_s else None,
        "total_s": naive_percentiles([entry["duration_total_s"] for entry in done]),
        "queue_wait_s": naive_percentiles([entry["queue_wait_s"] for entry in done]),
        "inference_s": naive_percentiles([entry["duration_inference_s"] for entry in done]),
        "mean_batch_size": sum(batch_sizes) / len(batch_sizes) if batch_sizes else None,
        "errors_by_code": dict(Counter(str(entry["code"]) for entry in failed)),
        "errors_by_reason": dict(Counter(entry["error"] or "unknown" for entry in failed)),
    }


def about(value: object) -> object:
    """Return what equals `value`, but for floats in their last digits."""
    if isinstance(value, dict):
        return {key: about(each) for key, each in value.items()}
    return pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value


seconds = st.floats(0, 1000) | st.sampled_from([0.0, 0.001, 0.1])
moments = st.floats(NOW - 4 * DAY, NOW + MINUTE) | st.sampled_from(
    [NOW - window.seconds + shift for window in WINDOWS for shift in (-0.5, 0, 0.5)]
)
successes = st.builds(
    a_record,
    ts=moments,
    audio_len_s=seconds,
    duration_inference_s=st.none() | st.floats(0.001, 10),
    duration_total_s=seconds,
    queue_wait_s=st.none() | seconds,
    batch_size=st.none() | st.integers(1, 64),
)
failures = st.builds(
    a_failure,
    ts=moments,
    code=st.sampled_from([400, 413, 429, 499, 500, 503]),
    error=st.sampled_from([None, "queue_full", "queue_timeout", "internal_error"]),
    audio_len_s=st.none() | seconds,
    duration_inference_s=st.none() | st.floats(0.001, 10),
    batch_size=st.none() | st.integers(1, 64),
)


@settings(max_examples=60)
@given(st.lists(successes | failures, max_size=60), st.booleans())
def test_the_report_agrees_with_plain_python_over_the_same_lines_for_each_window(records, rewritten):
    with tempfile.TemporaryDirectory() as folder:
        path = write_log(Path(folder) / "metrics.log", records)
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        if rewritten:  # by another program, with other spaces and another order of the keys
            path.write_text("".join(json.dumps(entry, sort_keys=True) + "\n" for entry in entries))
        history = history_of(path, NOW - 3 * DAY)
    for window in WINDOWS:
        assert summarize(history.requests, window, NOW).to_json() == about(naive_report(entries, window))


def test_the_numbers_of_a_small_window_are_those_one_gets_by_hand():
    report = report_on(
        a_record(NOW - 5, audio_len_s=30.0, duration_total_s=1.0, duration_inference_s=0.5, batch_size=2),
        a_record(NOW - 4, audio_len_s=90.0, duration_total_s=2.0, duration_inference_s=0.5, batch_size=2),
        a_record(NOW - 3, audio_len_s=60.0, duration_total_s=5.0, duration_inference_s=1.0, batch_size=1),
        a_failure(429, "queue_full", NOW - 2),
    )
    assert report["requests"] == 4
    assert report["ok"] == 3
    assert report["success_rate"] == 0.75
    assert report["requests_per_minute"] == pytest.approx(4 / 60, abs=1e-6)
    assert report["audio_minutes"] == 3.0
    assert report["rtfx"] == 180 / 1.5  # two of 0.5 s shared one batch, one had its own
    assert report["total_s"] == {"p50": 2.0, "p95": 4.7, "p99": 4.94}
    assert report["mean_batch_size"] == pytest.approx(5 / 3, abs=1e-6)
    assert report["errors_by_code"] == {"429": 1}
    assert report["errors_by_reason"] == {"queue_full": 1}


def test_a_window_holds_what_ended_after_its_start_up_to_now_itself():
    for ts, held in [(NOW - HOUR, 0), (NOW - HOUR + 0.001, 1), (NOW, 1), (NOW + 0.001, 0)]:
        assert report_on(a_record(ts))["requests"] == held, ts - NOW


def test_a_window_without_requests_has_counts_of_zero_and_no_ratios():
    assert report_on(a_record(NOW - 2 * HOUR)) == {
        "window": "1h",
        "window_s": 3600.0,
        "requests": 0,
        "ok": 0,
        "success_rate": None,
        "requests_per_minute": 0.0,
        "audio_minutes": 0.0,
        "rtfx": None,
        "total_s": {"p50": None, "p95": None, "p99": None},
        "queue_wait_s": {"p50": None, "p95": None, "p99": None},
        "inference_s": {"p50": None, "p95": None, "p99": None},
        "mean_batch_size": None,
        "errors_by_code": {},
        "errors_by_reason": {},
    }


def test_a_window_of_errors_only_has_a_success_rate_of_zero_and_no_latency():
    report = report_on(a_failure(429, "queue_full"), a_failure(429, "queue_full"), a_failure(500, None))
    assert report["success_rate"] == 0.0
    assert report["total_s"]["p50"] is None
    assert report["rtfx"] is None
    assert report["errors_by_code"] == {"429": 2, "500": 1}
    assert report["errors_by_reason"] == {"queue_full": 2, "unknown": 1}


def test_an_error_that_took_the_model_counts_as_its_work_but_not_as_audio():
    report = report_on(a_record(duration_inference_s=1.0, batch_size=1), a_failure(500, None, duration_inference_s=1.0))
    assert report["audio_minutes"] == pytest.approx(10 / 60, abs=1e-6)
    assert report["rtfx"] == 5.0


@pytest.mark.parametrize(("text", "length_s"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("3d", 259200)])
def test_a_window_is_a_number_and_a_unit(text, length_s):
    assert ReportWindow.parse(text) == ReportWindow(text, length_s)


@pytest.mark.parametrize(
    "text", ["", "5", "5x", "h", "0m", "0.0h", "-1h", "1h30m", "1e3s", "1 h", "nand", "9" * 400 + "d"]
)
def test_anything_else_is_no_window(text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        ReportWindow.parse(text)


def test_a_line_that_stands_for_many_refusals_counts_as_many():
    found = report_on(a_record(), a_failure(401, "invalid_api_key", count=97), a_failure(429, "queue_full", count=2))
    assert (found["requests"], found["ok"], found["success_rate"]) == (100, 1, 0.01)
    assert found["errors_by_code"] == {"401": 97, "429": 2}
