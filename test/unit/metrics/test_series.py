"""The log as series over time: no request is lost or doubled, whatever the range, and memory does not grow with it."""

import os
import tracemalloc
from pathlib import Path

import pytest
from day_of_traffic import DAY, HOUR, OUTAGE, RESTART, day_of_traffic
from hypothesis import given, settings
from hypothesis import strategies as st
from records import NOW, a_failure, a_record, write_log

from src.metrics import quantiles
from src.metrics import series as series_module
from src.metrics.history import History
from src.metrics.load import Load, LoadFile
from src.metrics.log_set import LogSet
from src.metrics.outcome import RequestOutcome
from src.metrics.parser import Source
from src.metrics.process_ends import note_end
from src.metrics.report import ReportWindow, summarize
from src.metrics.series import MAX_BINS, MIN_BINS, WIDTHS_S, Series, read_series
from src.metrics.uptime import Gap, Process, Uptime

ROUTE = "/v1/audio/transcriptions"


def series_of(path: Path, window: str = "3d", now: float = NOW) -> Series:
    return read_series(LogSet([path]), [ReportWindow.parse(window)], now).series[window]


def counts(series: Series) -> list[int]:
    return [tally.requests if tally else 0 for tally in series.bins]


def test_a_day_has_each_request_in_its_bin_and_agrees_with_the_report(tmp_path):
    records = day_of_traffic(NOW, per_hour=40)
    path = write_log(tmp_path / "metrics.log", records)
    windows = [ReportWindow.parse(text) for text in ("30m", "6h", "24h", "3d")]
    reading = read_series(LogSet([path]), windows, NOW)
    history = History(LogSet([path]))
    history.update(0)
    for window in windows:
        series, report = reading.series[window.name], summarize(history.requests, window, NOW)
        inside = [record for record in records if NOW - window.seconds < record.ts <= NOW]
        expected = [0] * len(series.bins)
        for record in inside:
            expected[int((record.ts - series.start_s) // series.width_s)] += 1
        assert counts(series) == expected
        assert (series.total.requests, series.total.count_of(RequestOutcome.SUCCESS)) == (report.requests, report.ok)
        assert series.total.total.percentiles() == report.total_s
        assert series.total.queue_wait.percentiles() == report.queue_wait_s
        assert series.total.rtfx == pytest.approx(report.rtfx)
        assert series.total.mean_batch_size == pytest.approx(report.mean_batch_size)
        assert dict(series.total.failures) == report.errors
        assert sum(tally.requests for tally in series.sources.values()) == len(inside)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 3 * DAY - 1), min_size=1, max_size=30), st.sampled_from([1.0, 60.0, HOUR, DAY]))
def test_bins_cover_the_time_that_has_requests_whatever_it_is(tmp_path_factory, ages, unit):
    times = [NOW - age * unit / DAY for age in ages]
    series = series_of(write_log(tmp_path_factory.mktemp("log") / "metrics.log", map(a_record, times)))
    assert sum(counts(series)) == len(times)
    assert series.start_s % series.width_s == 0
    assert MIN_BINS <= len(series.bins) <= MAX_BINS * 5 / 4 + 1
    span = max(times) - min(times)
    narrower = max((width for width in WIDTHS_S if width < series.width_s), default=0)
    assert not narrower or span >= (MAX_BINS - 1) * narrower
    assert series.start_s <= min(times)
    assert series.end_s > max(times)


def test_a_few_requests_are_not_stretched_over_the_width(tmp_path):
    series = series_of(write_log(tmp_path / "metrics.log", [a_record(NOW)]))
    assert (series.width_s, len(series.bins), counts(series)[-1]) == (1, MIN_BINS, 1)


def test_a_short_silence_until_now_is_shown_and_a_long_one_is_not(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 100 + second) for second in range(100)])
    assert series_of(path).end_s == NOW + 1
    assert series_of(path, now=NOW + 20).end_s == NOW + 21
    assert series_of(path, now=NOW + 20 * HOUR).end_s == NOW


def test_a_window_without_requests_has_no_series_and_future_ones_do_not_count(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 2 * HOUR), a_record(NOW + 60)])
    assert list(read_series(LogSet([path]), [ReportWindow.parse("1h"), ReportWindow.parse("3h")], NOW).series) == ["3h"]
    assert counts(series_of(path, "3h")).count(1) == 1


def test_an_outage_and_a_restart_are_known_and_a_quiet_night_is_none(tmp_path):
    series = series_of(write_log(tmp_path / "metrics.log", day_of_traffic(NOW, per_hour=60)))
    start = NOW - DAY
    restarts = [process.started for process in series.uptime.restarts]
    assert restarts == pytest.approx([start + OUTAGE[1] * HOUR, start + RESTART[1] * HOUR])
    (outage, restart) = series.uptime.gaps
    assert outage.start_s <= start + OUTAGE[0] * HOUR < outage.end_s
    assert outage.end_s == pytest.approx(start + OUTAGE[1] * HOUR)
    assert restart.end_s - restart.start_s < 0.5 * HOUR


def test_sources_are_told_apart(tmp_path):
    records = [a_record(), a_record(model="b"), a_record(route="/x"), a_failure(429, "queue_full", count=7)]
    sources = series_of(write_log(tmp_path / "metrics.log", records)).sources
    assert {source: tally.requests for source, tally in sources.items()} == {
        Source("tiny", ROUTE): 8,
        Source("b", ROUTE): 1,
        Source("tiny", "/x"): 1,
    }


def test_rotated_files_out_of_order_broken_lines_and_offsets_are_read(tmp_path):
    write_log(tmp_path / "metrics.log.2026-11-17", [a_record(NOW - 10), a_record(NOW - 5)])
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 7), a_record(NOW - 12)])
    with path.open("a") as file:
        file.write('broken\n{"ts":"2026-11-18T13:06:39+02:00","status":"ok","code":200}\n{"ts":1795')
    reading = read_series(LogSet([path]), [ReportWindow.parse("1h")], NOW)
    assert sum(counts(reading.series["1h"])) == 5
    assert reading.skipped_lines == 2


def test_the_time_zone_of_the_machine_changes_nothing(tmp_path, monkeypatch):
    path = write_log(tmp_path / "metrics.log", day_of_traffic(NOW, per_hour=5))
    before = series_of(path)
    monkeypatch.setitem(os.environ, "TZ", "America/St_Johns")
    after = series_of(path)
    assert (before.start_s, counts(before)) == (after.start_s, counts(after))


def test_memory_does_not_grow_with_the_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(series_module, "BLOCK_LINES", 200)
    for module in (series_module, quantiles):
        monkeypatch.setattr(module, "EXACT", 2)
    lines = [a_record(NOW - 3600 + index, duration_total_s=index / 1e3).to_line() + "\n" for index in range(900)]
    path = tmp_path / "metrics.log"
    peaks = []
    for times in (4, 12):
        path.write_text("".join(line * times for line in lines))
        tracemalloc.start()
        series = series_of(path, "24h")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(counts(series)) == times * len(lines)
    assert peaks[1] < 1.5 * peaks[0]


def test_a_quiet_night_before_an_orderly_restart_is_no_outage_but_one_before_a_crash_may_be(tmp_path):
    first, second, third = NOW - 20 * HOUR, NOW - 10 * HOUR, NOW - HOUR
    records = [
        a_record(first + HOUR, process_started=first),
        a_record(second + 60, process_started=second),  # and was killed, nobody knows when
        a_record(third + 60, process_started=third),
    ]
    path = write_log(tmp_path / "metrics.log", records)
    note_end(path, first, second - 2)
    note_end(path, NOW - 100 * DAY, NOW - 99 * DAY)
    note_end(path, NOW + 5, NOW + 10)
    uptime = series_of(path).uptime
    assert uptime.gaps == [Gap(second - 2, second), Gap(second + 60, third)]
    assert uptime.restarts == [Process(second), Process(third)]


def replicas(folder: Path, *, named: bool = True) -> LogSet:
    """The logs of two replicas that took turns: every two seconds a line of the one, between them of the other."""
    for number, name in enumerate("ab"):
        records = [
            a_record(ts, sessions=number + 1, replica=name if named else None, process_started=NOW - HOUR + number)
            for ts in range(round(NOW) - 600 + number, round(NOW), 2)
        ]
        write_log(folder / name / "metrics" / "metrics.log.2026-11-17", records[:100])
        write_log(folder / name / "metrics" / "metrics.log", records[100:])
    return LogSet([folder])


def test_the_logs_of_replicas_are_one_series_in_order_of_time(tmp_path, monkeypatch):
    monkeypatch.setattr(series_module, "BLOCK_LINES", 7)
    seen: list[float] = []
    add = Uptime.add
    monkeypatch.setattr(Uptime, "add", lambda self, rows, names: (seen.extend(rows["ts"]), add(self, rows, names)))
    series = read_series(replicas(tmp_path), [ReportWindow.parse("1h")], NOW).series["1h"]
    assert seen == sorted(seen)
    assert (series.total.requests, {name: each.requests for name, each in series.replicas.items()}) == (
        600,
        {"a": 300, "b": 300},
    )
    assert series.uptime.restarts == [Process(NOW - HOUR + 1, "b")]
    assert series.uptime.gaps == []


def test_the_sessions_of_replicas_that_are_open_at_a_time_are_added_up(tmp_path):
    assert read_series(replicas(tmp_path), [ReportWindow.parse("1h")], NOW).series["1h"].total.most_sessions == 3


def test_processes_without_a_name_count_as_one_replica(tmp_path):
    logs = replicas(tmp_path, named=False)
    assert read_series(logs, [ReportWindow.parse("1h")], NOW).series["1h"].total.most_sessions == 2


def test_a_process_that_has_just_told_its_load_was_there_until_then(tmp_path):
    path = write_log(tmp_path / "metrics.log", [a_record(NOW - 3000, replica="a", process_started=NOW - 3600)])
    write_log(tmp_path / "b" / "metrics.log", [a_record(NOW - 10, replica="b", process_started=NOW - 100)])
    logs = LogSet([path, tmp_path / "b"])
    assert read_series(logs, [ReportWindow.parse("2h")], NOW).series["2h"].uptime.gaps == [Gap(NOW - 3000, NOW - 100)]
    load = Load(0, 0, uploads=0, sessions=0, max_sessions=1, batch_size=0, audio_s_per_s=0, ready=True)
    LoadFile(path, NOW - 3600, "a").write(load, NOW - 1)
    assert read_series(logs, [ReportWindow.parse("2h")], NOW).series["2h"].uptime.gaps == []
