"""The report as a table."""

import tempfile
from pathlib import Path

from records import NOW, a_failure, a_record, history_of, write_log

from src.metrics.report import ReportWindow, summarize
from src.metrics.table import render

WINDOWS = [ReportWindow.parse(text) for text in ("30m", "1h", "3h", "6h", "12h", "24h", "3d")]
HOUR = 3600.0


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
