"""The plot: the panels of the page, as a PNG."""

import pytest
from day_of_traffic import day_of_traffic
from records import NOW, a_failure, a_record, write_log

from src.metrics.log_set import LogSet
from src.metrics.report import ReportWindow
from src.metrics.series import Series, read_series

plot = pytest.importorskip("src.metrics.plot", exc_type=ModuleNotFoundError)


@pytest.fixture
def series(tmp_path):
    def read(*records) -> Series:
        log = write_log(tmp_path / "metrics.log", records)
        return read_series(LogSet([log]), [ReportWindow.parse("24h")], NOW).series["24h"]

    return read


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def test_a_day_is_drawn_panel_by_panel_and_always_alike(series):
    day = series(*day_of_traffic(NOW, per_hour=20))
    png = plot.draw(day)
    assert size_of(png) == (1200, 1480)
    assert plot.draw(day) == png


def test_panels_without_values_are_left_out(series):
    assert size_of(plot.draw(series(a_failure(429, "$queue_full$ <&" * 100))))[1] < 700


def test_a_single_request_is_a_picture_too(series):
    assert size_of(plot.draw(series(a_record(queue_wait_s=0.0))))[0] == 1200
