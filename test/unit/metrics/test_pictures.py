"""Pictures in files."""

import pytest
from day_of_traffic import day_of_traffic
from records import NOW, a_record, write_log

from src.metrics.log_set import LogSet
from src.metrics.pictures import CannotDraw, write_html, write_plot
from src.metrics.report import ReportWindow

WINDOWS = [ReportWindow.parse(text) for text in ("30m", "24h", "1h")]


def test_each_sentence_names_what_was_drawn(tmp_path):
    log = write_log(tmp_path / "metrics.log", day_of_traffic(NOW, per_hour=5))
    page = tmp_path / "load.html"
    assert write_html(page, LogSet([log]), WINDOWS, NOW) == f"Drew the last 30m, 24h and 1h to {page}."
    assert write_html(page, LogSet([log]), WINDOWS[:1], NOW) == f"Drew the last 30m to {page}."


@pytest.mark.parametrize("write", [write_html, write_plot])
def test_nothing_to_draw_leaves_the_picture_before_and_is_a_sentence(tmp_path, write):
    if write is write_plot:
        pytest.importorskip("matplotlib")
    log = write_log(tmp_path / "metrics.log", [a_record(NOW - 2 * 86400)])
    (tmp_path / "load").write_text("before")
    with pytest.raises(CannotDraw, match=r"^Nothing to draw: no request ended in the last 24h\.$"):
        write(tmp_path / "load", LogSet([log]), WINDOWS, NOW)
    assert (tmp_path / "load").read_text() == "before"
