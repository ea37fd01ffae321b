"""What is shown of a series."""

from pathlib import Path

import pytest
from records import NOW, a_failure, a_record, write_log

from src.metrics.log_set import LogSet
from src.metrics.panels import Panel, groups_of, panels_of, value_rows
from src.metrics.report import ReportWindow
from src.metrics.series import Series, read_series


@pytest.fixture
def series(tmp_path):
    def read(*records, window: str = "1h") -> Series:
        path = write_log(Path(tmp_path) / "metrics.log", records)
        return read_series(LogSet([path]), [ReportWindow.parse(window)], NOW).series[window]

    return read


def panel(series: Series, key: str) -> Panel:
    return next(panel for panel in panels_of(series) if panel.key == key)


def values(series: Series, key: str) -> dict[str, list]:
    return {trend.name: list(trend.values) for trend in panel(series, key).trends}


def test_refused_is_apart_from_failed(series):
    found = series(a_record(), a_failure(429, "queue_full"), a_failure(503, "queue_timeout"), a_failure(500, None))
    assert {name: sum(each) for name, each in values(found, "requests").items()} == {
        "success": 1,
        "refused": 2,
        "client error": 0,
        "failed": 1,
    }
    assert panel(found, "requests").overview[2] == ("refused", "2", "50.00%")


def test_the_unit_says_in_words_how_long_each_value_lasts(series):
    found = series(*(a_record(NOW - 5 * index) for index in range(100)))
    assert panel(found, "requests").unit == "requests, 5 s each"


def test_where_no_request_ended_there_is_no_latency_and_a_count_of_none(series):
    found = series(a_record(NOW - 9), a_record(NOW))
    assert values(found, "latency")["p50"].count(None) == 10
    assert values(found, "requests")["success"] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_while_the_service_was_down_there_is_not_even_a_count_of_none(series):
    found = series(a_record(NOW - 11, process_started=NOW - 99), a_record(NOW, process_started=NOW - 3))
    assert values(found, "requests")["success"] == [1, *[None] * 7, 0, 0, 0, 1]


def test_bars_stand_on_each_other_and_the_scale_holds_them_all(series):
    found = panel(series(a_record(), a_record(), a_failure(429, "queue_full"), a_failure(500, None)), "requests")
    assert [edges[-1] for edges in found.stacked()] == [2, 3, 3, 4]
    assert found.scale.high == 4


def test_the_most_frequent_errors_have_colours_and_the_table_has_all(series):
    kinds = [(400, "a", 9), (401, "b", 8), (429, "c", 7), (500, "d", 6), (503, "e", 5), (404, "f", 4)]
    found = panel(series(*(a_failure(code, error, count=count) for code, error, count in kinds)), "errors")
    assert [(trend.name, max(trend.values)) for trend in found.trends] == [
        ("400 a", 9),
        ("401 b", 8),
        ("429 c", 7),
        ("500 d", 6),
        ("others", 9),
    ]
    assert found.overview[1:] == [(str(code), error, str(count)) for code, error, count in kinds]
    assert len({trend.shade for trend in found.trends}) == 5


def test_what_no_line_tells_of_is_a_sentence_and_no_picture(series):
    found = series(a_failure(429, "queue_full"))
    assert {each.key for each in panels_of(found) if each.is_empty} == {
        "latency",
        "queue-wait",
        "batch-size",
        "rtfx",
        "sessions",
    }
    assert "does not say" in panel(found, "sessions").absent
    assert panel(series(a_record()), "errors").is_empty


def test_live_sessions_are_the_most_of_each_bin(series):
    found = series(a_record(NOW + 0.0, sessions=3), a_record(NOW - 0.4, sessions=5), a_record(NOW - 0.2, sessions=4))
    assert values(found, "sessions")["sessions"][-3:] == [None, 5, 3]


def test_a_batch_has_a_mean_and_a_largest_size(series):
    found = series(a_record(batch_size=2), a_record(batch_size=9))
    assert {name: each[-1] for name, each in values(found, "batch-size").items()} == {"mean": 5.5, "largest": 9}


def test_routes_and_models_come_busiest_first(series):
    found = series(a_record(route="/a"), a_record(route="/b", model="x"), a_record(route="/b", model="y"))
    assert [(group.name, group.tally.requests) for group in groups_of(found, "route")] == [("/b", 2), ("/a", 1)]
    assert [group.name for group in groups_of(found, "model")] == ["tiny", "x", "y"]


def test_the_rows_of_values_begin_when_their_bins_begin(series):
    found = series(a_record())
    rows = list(value_rows(panel(found, "latency"), found))
    assert rows[-1] == (NOW, ["0.120", "0.120", "0.120"])
    assert rows[0] == (NOW - 11, ["-", "-", "-"])
