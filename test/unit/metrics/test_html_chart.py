"""A panel as SVG: bars and lines at their places, breaks where there is no value, gaps and restarts."""

import re
from pathlib import Path

import pytest
from records import NOW, a_failure, a_record, write_log

from src.metrics.html_chart import chart, runs
from src.metrics.log_set import LogSet
from src.metrics.panels import panels_of
from src.metrics.report import ReportWindow
from src.metrics.series import read_series


@pytest.fixture
def drawn(tmp_path):
    def draw(key: str, *records) -> str:
        log = write_log(Path(tmp_path) / "metrics.log", records)
        series = read_series(LogSet([log]), [ReportWindow.parse("1h")], NOW).series["1h"]
        return chart(next(panel for panel in panels_of(series) if panel.key == key), series)

    return draw


def path_of(svg: str, kind: str) -> str:
    match = re.search(rf'<path class="{kind}" d="([^"]*)"', svg)
    assert match
    return match[1]


def test_bars_stand_on_each_other(drawn):
    svg = drawn("requests", a_record(NOW), a_record(NOW), a_failure(429, "queue_full", NOW), a_failure(500, None, NOW))
    assert path_of(svg, "bar success") == "M11.07 1000V500h0.86V1000z"
    assert path_of(svg, "bar refused") == "M11.07 500V250h0.86V500z"
    assert path_of(svg, "bar failed") == "M11.07 250V0h0.86V250z"
    assert "client-error" not in svg


def test_a_line_is_broken_where_there_is_no_value_and_a_lone_value_is_a_dash(drawn):
    svg = drawn("batch-size", *(a_record(NOW - age, batch_size=5) for age in (11, 9, 8, 7)))
    assert path_of(svg, "line accent") == "M7 0h1M9.5 0L10.5 0L11.5 0"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([None], []),
        ([1, None, 2, 3], [(0, [1]), (2, [2, 3])]),
        ([None, 0, None], [(1, [0])]),
    ],
)
def test_runs_are_the_values_without_a_break(values, expected):
    assert list(runs(values)) == expected


def test_a_gap_and_a_restart_stand_at_their_times(drawn):
    svg = drawn("requests", a_record(NOW - 11, process_started=NOW - 99), a_record(NOW, process_started=NOW - 5))
    assert '<rect class="gap" x="0%" y="0" width="50%"' in svg
    assert "No sign of the service: 18 Nov, 11:06:29 to 11:06:35 UTC" in svg
    assert ">no service</text>" in svg
    assert '<line class="restart" x1="50%" x2="50%"' in svg


def test_the_start_of_a_replica_has_its_name(drawn):
    first = a_record(NOW - 11, process_started=NOW - 99, replica="a")
    svg = drawn("requests", first, a_record(NOW, process_started=NOW - 5, replica="<b>"))
    assert "<title>Replica &lt;b&gt; started: 18 Nov, 11:06:35 UTC</title>" in svg


def test_a_steady_service_has_neither(drawn):
    svg = drawn("requests", a_record(NOW - 11, process_started=NOW - 99), a_record(NOW, process_started=NOW - 99))
    assert "gap" not in svg
    assert "restart" not in svg
