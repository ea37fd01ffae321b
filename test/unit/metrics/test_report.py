import json
import math
import os
import re
import statistics
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import NOW, a_failure, a_record, write_log

from src.metrics.history import History
from src.metrics.report import ReportWindow, summarize
from src.metrics.table import render

WINDOWS = [ReportWindow.parse(text) for text in ("30m", "1h", "3h", "6h", "12h", "24h", "3d")]
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


def history_of(path: Path, since: float = 0.0) -> History:
    history = History(path)
    history.update(since)
    return history


def report_on(*records, window: str = "1h"):
    """Return the JSON of one window over `records`, which go through a file."""
    with tempfile.TemporaryDirectory() as folder:
        history = history_of(write_log(Path(folder) / "metrics.log", records))
    return summarize(history.requests, ReportWindow.parse(window), NOW).to_json()


# The numbers


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


# The tables


def table_of(*records, windows=WINDOWS) -> str:
    with tempfile.TemporaryDirectory() as folder:
        history = history_of(write_log(Path(folder) / "metrics.log", records))
    return render([summarize(history.requests, window, NOW) for window in windows])


def test_the_table_is_aligned_and_fits_120_columns_on_a_busy_service():
    busy = [
        a_record(NOW - 60 * number, audio_len_s=600.0, duration_total_s=123.4, queue_wait_s=12.3)
        for number in range(20_000)
    ]
    lines = table_of(*busy, a_failure(503, "queue_timeout"), windows=WINDOWS).splitlines()
    assert max(map(len, lines)) <= 120
    header = next(line for line in lines if line.startswith("window"))
    rows = lines[2:9]
    assert [row.split()[0] for row in rows] == [window.name for window in WINDOWS]
    assert {len(row) for row in rows} == {len(header)}


def test_the_table_shows_seconds_in_five_characters():
    shown = {
        0.0: "0.000",
        0.0004: "0.000",
        1.2345: "1.234",
        9.9996: "10.00",
        12.345: "12.35",
        600.04: "600.0",
        7200.4: "7200",
    }
    for total_s, text in shown.items():
        row = table_of(a_record(duration_total_s=total_s), windows=WINDOWS[:1]).splitlines()[2]
        assert row.split()[6:9] == [text] * 3


def test_the_table_never_rounds_up_to_a_success_of_100_percent():
    assert "99.99%" in table_of(*[a_record()] * 29_999, a_failure(500, None))
    assert "100.00%" in table_of(a_record())


def test_the_table_counts_errors_by_code_and_window():
    table = table_of(a_failure(429, "queue_full"), a_failure(429, "queue_full", NOW - 2 * HOUR), a_failure(500, None))
    errors = [line.split() for line in table.splitlines()[-3:]]
    assert errors == [
        ["errors", "by", "code", *(window.name for window in WINDOWS)],
        ["429", "queue_full", "1", "1", "2", "2", "2", "2", "2"],
        ["500", "1", "1", "1", "1", "1", "1", "1"],
    ]
    assert table_of(a_record()).endswith("no errors")


# Reading


def test_the_rotated_parts_of_a_log_are_read_and_nothing_else_beside_it(tmp_path):
    folder = tmp_path / "metrics"
    write_log(folder / "metrics.log", [a_record(NOW)])
    write_log(folder / "metrics.log.2026-11-17", [a_record(NOW - DAY), a_record(NOW - DAY)])
    write_log(folder / "metrics.log.2026-11-16", [a_record(NOW - 2 * DAY)] * 3)
    write_log(folder / "metrics.log.2026-11-16.1", [a_record(NOW - 2 * DAY)] * 4)
    for other in ("metrics.log.bak", "metrics.log.2026-11-16.gz", "other.log", "metrics.log.2026-11-16.swp"):
        write_log(folder / other, [a_record(NOW)])
    history = history_of(folder / "metrics.log", NOW - 3 * DAY)
    assert list(history.requests["ts"]) == [NOW - 2 * DAY] * 7 + [NOW - DAY] * 2 + [NOW]


def test_the_rotated_parts_are_read_while_there_is_no_file_of_today(tmp_path):
    write_log(tmp_path / "metrics.log.2026-11-17", [a_record(NOW)])
    assert len(history_of(tmp_path / "metrics.log").requests) == 1


def test_a_log_that_does_not_exist_is_no_log(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.log"):
        history_of(tmp_path / "metrics" / "metrics.log")


OWN_LINE = a_failure(429, "queue_full", NOW, batch_size=8).to_line() + "\n"
BAD_LINES = [
    OWN_LINE.replace('"ts":1', '"ts":01').encode(),
    OWN_LINE.replace('"ts":1795000000.0', '"ts":1e999').encode(),
    OWN_LINE.replace('"ts":1795000000.0', '"ts":null').encode(),
    OWN_LINE.replace("429", "429.5").encode(),
    OWN_LINE.replace("429", "null").encode(),
    OWN_LINE.replace('"error"', '"wrong"', 1).encode(),
    OWN_LINE.replace('"batch_size":8', '"batch_size":NaN').encode(),
    OWN_LINE.replace('"batch_size":8', '"batch_size":"8"').encode(),
    OWN_LINE.replace("queue_full", "queue\tfull").encode(),
    OWN_LINE.replace("queue_full", 'queue"full').encode(),
    OWN_LINE.replace('"queue_full"', "7").encode(),
    OWN_LINE.replace("tiny", "t\xffny").encode("latin-1"),
    OWN_LINE.encode().replace(b"\n", b"}\n"),
    b"no json\n",
    b"{}\n",
    b"[]\n",
    b"1\n",
    b'"text"\n',
    b"null\n",
    b"\xff\xfe\x00\n",
    b"\x00" * 5000 + b"\n",
    b"[" * 100_000 + b"\n",
    b'{"ts":1,"status":"ok","code":200} {"ts":1}\n',
    b'{"status":"ok","code":200}\n',
    b'{"ts":null,"status":"ok","code":200}\n',
    b'{"ts":true,"status":"ok","code":200}\n',
    b'{"ts":NaN,"status":"ok","code":200}\n',
    b'{"ts":1e999,"status":"ok","code":200}\n',
    b'{"ts":' + b"9" * 400 + b',"status":"ok","code":200}\n',
    b'{"ts":"yesterday","status":"ok","code":200}\n',
    b'{"ts":1795000000,"code":200}\n',
    b'{"ts":1795000000,"status":"maybe","code":200}\n',
    b'{"ts":1795000000,"status":"error","code":"500"}\n',
    b'{"ts":1795000000,"status":"error"}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"audio_len_s":"10"}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"duration_total_s":[1]}\n',
    b'{"ts":1795000000,"status":"ok","code":200,"queue_wait_s":Infinity}\n',
]


@pytest.mark.parametrize("bad", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_line_that_cannot_be_read_is_skipped_and_counted(tmp_path, bad):
    good = a_record().to_line().encode() + b"\n"
    path = tmp_path / "metrics.log"
    path.write_bytes(good + bad + good)
    history = history_of(path)
    assert len(history.requests) == 2
    assert history.skipped_lines == 1


def test_a_torn_last_line_is_skipped_wherever_it_is_torn(tmp_path):
    line = a_record().to_line()
    for length in range(1, len(line)):
        path = tmp_path / f"{length}.log"
        path.write_text(line + "\n" + line[:length])
        history = history_of(path)
        assert (len(history.requests), history.skipped_lines) == (1, 1), line[:length]


def test_a_whole_last_line_without_an_end_is_read_and_blank_lines_are_nothing(tmp_path):
    path = tmp_path / "metrics.log"
    path.write_text("\n" + a_record().to_line() + "\n\n" + a_record().to_line())
    history = history_of(path)
    assert len(history.requests) == 2
    assert history.skipped_lines == 0


def test_an_empty_log_holds_no_requests(tmp_path):
    (tmp_path / "metrics.log").touch()
    assert len(history_of(tmp_path / "metrics.log").requests) == 0


@pytest.mark.parametrize("error", ["queue_full", 'quo"te', "back\\slash", "é\u2028\n", "", None])
def test_the_word_of_an_error_is_read_as_it_was_written(tmp_path, error):
    write_log(tmp_path / "metrics.log", [a_failure(500, error)])
    assert history_of(tmp_path / "metrics.log").requests.failures == [(500, error or "")]


def test_a_line_with_the_keys_of_the_spec_alone_is_read(tmp_path):
    entry = {"ts": NOW, "status": "ok", "code": 200, "audio_len_s": 5, "duration_total_s": 1, "model": "tiny"}
    (tmp_path / "metrics.log").write_text(json.dumps(entry) + "\n")
    requests = history_of(tmp_path / "metrics.log").requests
    assert requests["audio_s"][0] == 5.0
    assert math.isnan(requests["batch_size"][0])


@pytest.mark.parametrize(
    "moment",
    [
        datetime.fromtimestamp(NOW, UTC).isoformat(),
        datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None).isoformat(),
        NOW,
        int(NOW),
    ],
)
def test_a_time_is_unix_seconds_or_iso_8601(tmp_path, moment):
    (tmp_path / "metrics.log").write_text(json.dumps({"ts": moment, "status": "ok", "code": 200}) + "\n")
    assert list(history_of(tmp_path / "metrics.log").requests["ts"]) == [NOW]


def test_parts_that_ended_before_the_longest_window_are_not_read(tmp_path):
    old = write_log(tmp_path / "metrics.log.2026-11-10", [a_record(NOW - 8 * DAY)] * 10)
    old.write_text("broken\n" + old.read_text())
    write_log(tmp_path / "metrics.log", [a_record(NOW)])
    history = history_of(tmp_path / "metrics.log", NOW - 3 * DAY)
    assert len(history.requests) == 1
    assert history.skipped_lines == 0
    assert history_of(tmp_path / "metrics.log", NOW - 9 * DAY).skipped_lines == 1


# Reading on


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_an_update_reads_what_was_added_and_a_torn_line_once_it_is_whole(tmp_path):
    line = a_record().to_line() + "\n"
    path = tmp_path / "metrics.log"
    path.write_text("broken\n" + line + line[:100])
    history = history_of(path)
    assert (len(history.requests), history.skipped_lines) == (1, 2)
    append(path, line[100:])
    history.update(0)
    assert (len(history.requests), history.skipped_lines) == (2, 1)
    history.update(0)
    assert (len(history.requests), history.skipped_lines) == (2, 1)


def test_a_rotation_between_two_updates_loses_and_doubles_nothing(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3)])
    history = history_of(path)
    append(path, a_record(NOW - 2).to_line() + "\n")
    path.rename(tmp_path / "metrics.log.2026-11-17")
    write_log(path, [a_record(NOW - 1)])
    history.update(0)
    assert sorted(history.requests["ts"]) == [NOW - 3, NOW - 2, NOW - 1]


def test_a_log_that_was_emptied_is_read_from_its_start(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3)] * 3)
    history = history_of(path)
    path.write_text(a_record(NOW).to_line() + "\n")
    history.update(0)
    assert list(history.requests["ts"]) == [NOW - 3] * 3 + [NOW]


def test_an_update_forgets_what_has_left_the_longest_window(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3 * HOUR), a_record(NOW)])
    history = history_of(path, NOW - 4 * HOUR)
    assert len(history.requests) == 2
    history.update(NOW - HOUR)
    assert list(history.requests["ts"]) == [NOW]


def test_new_kinds_of_error_join_those_already_known(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_failure(429, "queue_full")])
    history = history_of(path)
    append(path, a_failure(500, "internal_error").to_line() + "\n" + a_failure(429, "queue_full").to_line() + "\n")
    history.update(0)
    report = summarize(history.requests, ReportWindow.parse("1h"), NOW).to_json()
    assert report["errors_by_code"] == {"429": 2, "500": 1}


def test_a_pipe_is_read_like_a_file(tmp_path):
    line = a_record().to_line().encode() + b"\n"
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as pipe:
        pipe.write(line * 3)
        pipe.close()
        assert len(history_of(Path(f"/dev/fd/{reader}")).requests) == 3
