"""The operator's page: from lines of the log to the figures in the file."""

import base64
import re
import statistics
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from day_of_traffic import day_of_traffic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_reader import PageReader
from records import NOW, a_failure, a_record, write_log

from src.metrics.html_page import render
from src.metrics.log_set import LogSet
from src.metrics.parser import MOST
from src.metrics.report import ReportWindow
from src.metrics.series import read_series

REFUSED = (429, 503)


@pytest.fixture
def rendered(tmp_path):
    def render_records(*records, windows: tuple[str, ...] = ("30m", "24h")) -> str:
        log = write_log(Path(tmp_path) / "metrics.log", records)
        wanted = [ReportWindow.parse(text) for text in windows]
        return render(read_series(LogSet([log]), wanted, NOW), wanted, str(log), NOW)

    return render_records


def quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def column(table: list[list[str]], name: str) -> list[str]:
    return [row[table[0].index(name)] for row in table[1:]]


def outcome(code: int) -> str:
    if code < 400:
        return "success"
    if code in REFUSED:
        return "refused"
    return "client error" if code < 500 else "failed"


def test_the_figures_are_those_of_plain_python_over_the_same_lines(rendered):
    records = [record for record in day_of_traffic(NOW, per_hour=40) if record.ts > NOW - 86400]
    page = PageReader.read(rendered(*records, windows=("24h",)))
    done = [record for record in records if record.status == "ok"]
    overview = dict(row[:2] for row in page.tables["requests0"]["beside"][1:])
    assert overview == {
        **dict.fromkeys(("success", "refused", "client error", "failed"), "0"),
        **{name: str(count) for name, count in Counter(outcome(record.code) for record in records).items()},
        "all": str(len(records)),
    }
    for figure, field in (("latency0", "duration_total_s"), ("queue-wait0", "queue_wait_s")):
        values = [getattr(record, field) for record in done]
        for name, text, _ in page.tables[figure]["beside"][1:]:
            assert float(text) == pytest.approx(quantile(values, int(name[1:])), abs=0.006)
    audio = dict(page.tables["audio0"]["beside"][1:])
    assert float(audio["all"]) == pytest.approx(sum(record.audio_len_s for record in done) / 60, abs=0.06)
    busy = sum(record.duration_inference_s / record.batch_size for record in done)
    rtfx = dict(page.tables["rtfx0"]["beside"][1:])["RTFx"]
    assert float(rtfx) == pytest.approx(sum(record.audio_len_s for record in done) / busy, rel=0.001)
    sizes = dict(page.tables["batch-size0"]["beside"][1:])
    assert float(sizes["mean"]) == pytest.approx(statistics.mean(record.batch_size for record in done), abs=0.006)
    assert sizes["largest"] == str(max(record.batch_size for record in done))
    assert page.tables["sessions0"]["beside"][1] == ["most", str(max(record.sessions for record in records))]
    errors = Counter((str(record.code), record.error) for record in records if record.status != "ok")
    assert {(code, error): int(count) for code, error, count in page.tables["errors0"]["beside"][1:]} == errors
    routes = Counter(record.route for record in records)
    by_route = page.tables["route0"]["by-source"]
    found = zip(column(by_route, "route"), column(by_route, "requests"), strict=True)
    assert {route: int(count) for route, count in found} == routes


def test_the_table_of_values_has_each_bin_of_the_picture(rendered):
    records = [a_record(NOW - 5 * age, duration_total_s=age / 10) for age in range(1, 150)]
    tables = PageReader.read(rendered(*records, windows=("30m",))).tables
    assert "5 s each" in rendered(*records, windows=("30m",))
    values = tables["requests0"]["values"]
    assert sum(map(int, column(values, "success"))) == 149
    assert values[1][0] == "10:54:15"
    latency = column(tables["latency0"]["values"], "p50")
    assert latency[0] == "14.90"
    assert latency[-2:] == ["0.100", "-"]


def test_each_window_that_was_asked_for_is_there_and_the_longest_is_chosen(rendered):
    page = PageReader.read(rendered(a_record(NOW - 3600), windows=("24h", "30m", "3d", "90s")))
    assert column(page.tables[""]["summary"], "window") == ["24h", "30m", "3d", "90s"]
    assert column(page.tables[""]["summary"], "requests") == ["1", "0", "1", "0"]
    pickers = [attributes for tag, attributes in page.tags if tag == "input"]
    assert [each["aria-label"] for each in pickers if "checked" in each] == ["the last 3d"]
    assert "No request ended in the last 90s." in page.text
    assert [name for name in page.tables if name.endswith(("1", "3"))] == []


def test_the_range_is_that_of_the_data_in_words(rendered):
    text = PageReader.read(rendered(*(a_record(NOW - 7200 + 2 * each) for each in range(300)), windows=("3d",))).text
    assert "Wed 18 Nov 2026, 09:06:40 UTC, to Wed 18 Nov 2026, 09:16:40 UTC; 5 s for each value." in text
    assert "No request in the 1.8 h since then." in text


def test_an_outage_is_told_in_words(rendered):
    lines = [a_record(NOW - 1000 + each, process_started=NOW - 5000) for each in range(300)]
    lines += [a_record(NOW - 300 + each, process_started=NOW - 350) for each in range(300)]
    assert "No sign of the service: 18 Nov, 10:54:59 to 11:00:50 UTC." in PageReader.read(rendered(*lines)).text


HOSTILE = "</script><script>alert(1)</script>\"'&<b>\u2028\ud800"


def test_text_of_the_log_is_text_in_the_page(rendered):
    text = rendered(
        a_record(model=HOSTILE, route=HOSTILE), a_failure(500, HOSTILE, model=HOSTILE, route="<img src=x onerror=y>")
    )
    page = PageReader.read(text.encode("utf-8", "replace").decode())
    shown = HOSTILE.replace("\ud800", "?")
    assert column(page.tables["model1"]["by-source"], "model") == [shown]
    assert set(column(page.tables["route1"]["by-source"], "route")) == {shown, "<img src=x onerror=y>"}
    assert page.tables["errors1"]["beside"][1] == ["500", shown, "1"]
    tags = Counter(tag for tag, _ in page.tags)
    assert (tags["script"], tags["style"], tags["img"], tags["b"]) == (1, 1, 0, 0)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]


def test_the_page_needs_nothing_else_and_allows_nothing_else(rendered):
    text = rendered(*day_of_traffic(NOW, per_hour=5))
    page = PageReader.read(text)
    assert not [tag for tag, attributes in page.tags if {"src", "href"} & attributes.keys()]
    assert "url(" not in text.replace("url(#hatch)", "")
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    (policy,) = [each["content"] for _, each in page.tags if each.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_every_picture_has_a_name_and_a_table_and_ids_are_unique(rendered):
    page = PageReader.read(rendered(*day_of_traffic(NOW, per_hour=20), windows=("24h", "3d")))
    charts = [attributes for tag, attributes in page.tags if attributes.get("class") == "chart"]
    assert len(charts) == 2 * 8
    assert all(each["aria-label"] and each["role"] == "img" and each["tabindex"] == "0" for each in charts)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    figures = {name: tables for name, tables in page.tables.items() if name and not name.startswith(("route", "model"))}
    assert len(figures) == 16
    assert all(tables.keys() == {"beside", "values"} for tables in figures.values())
    heights = {len(tables["values"]) for name, tables in figures.items() if name.endswith("1")}
    assert len(heights) == 1  # the script finds a value by the number of its row


def test_the_same_log_at_the_same_time_makes_the_same_page(rendered):
    records = day_of_traffic(NOW, per_hour=5)
    assert rendered(*records) == rendered(*records)


def test_lines_that_were_skipped_are_told(tmp_path):
    log = write_log(tmp_path / "metrics.log", [a_record()])
    log.write_text("broken\n" + log.read_text())
    windows = [ReportWindow.parse("1h")]
    page = render(read_series(LogSet([log]), windows, NOW), windows, str(log), NOW)
    assert "Skipped 1 unreadable line of the log." in page


def test_only_the_busiest_of_very_many_routes_are_listed(rendered):
    page = PageReader.read(rendered(*(a_record(route=f"/{index:02}") for index in range(25)), windows=("1h",)))
    assert len(page.tables["route0"]["by-source"]) == 21
    assert "5 more had fewer requests." in page.text


numbers = st.none() | st.floats(-MOST, MOST) | st.floats(0, 10)
odd_records = st.builds(
    a_record,
    ts=st.floats(NOW - 90_000, NOW + 100) | st.floats(-MOST, MOST),
    audio_len_s=numbers,
    duration_total_s=numbers,
    duration_inference_s=numbers,
    queue_wait_s=numbers,
    batch_size=numbers,
    sessions=numbers,
    process_started=numbers | st.floats(NOW - 90_000, NOW + 100),
    status=st.sampled_from(["ok", "error"]),
    code=st.integers(-5, 1000),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(odd_records, min_size=1, max_size=6))
def test_whatever_numbers_a_log_has_there_is_a_whole_page(tmp_path_factory, records):
    log = write_log(tmp_path_factory.mktemp("log") / "metrics.log", [a_record(NOW - 50), *records])
    windows = [ReportWindow.parse("24h")]
    PageReader.read(render(read_series(LogSet([log]), windows, NOW), windows, str(log), NOW))
