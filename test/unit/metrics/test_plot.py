"""The bins of a plot; it is drawn in test_cli."""

import pytest
from records import NOW, a_failure, a_record, history_of, write_log

from src.metrics.report import ReportWindow

plot = pytest.importorskip("src.metrics.plot", exc_type=ModuleNotFoundError)


def test_the_bins_of_a_plot_hold_every_request_once(tmp_path):
    records = [*(a_record(NOW - 60 * minute) for minute in range(120)), a_failure(429, "queue_full", NOW)]
    history = history_of(write_log(tmp_path / "metrics.log", records))
    bins = plot.split_into_bins(history.requests, ReportWindow.parse("3d"), NOW)
    assert len(bins) == plot.BINS
    assert bins[0].start_s == NOW - 119 * 60
    assert bins[-1].start_s + bins[-1].width_s == pytest.approx(NOW)
    assert sum(each.ok for each in bins) == 120
    assert [each.errors for each in bins if each.errors] == [{(429, "queue_full"): 1}]
    assert bins[-1].errors


def test_a_window_without_requests_has_no_bins(tmp_path):
    history = history_of(write_log(tmp_path / "metrics.log", [a_record(NOW - 7200)]))
    with pytest.raises(ValueError, match="zero-size"):
        plot.split_into_bins(history.requests, ReportWindow.parse("1h"), NOW)
