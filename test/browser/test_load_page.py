"""The operator's page in a real browser: one file, opened from the disk."""

from pathlib import Path

import pytest
from chromium import skip_without_browser
from day_of_traffic import day_of_traffic
from records import NOW, write_log

from src.metrics.cli import main

skip_without_browser()

from browser import Visit, serious_findings  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """The page over a made-up day."""
    folder = tmp_path_factory.mktemp("load")
    log = write_log(folder / "metrics.log", day_of_traffic(NOW, per_hour=60))
    arguments = ["--file", str(log), "--windows", "1h", "24h", "--html", str(folder / "load.html")]
    assert main(arguments, clock=lambda: NOW) == 0
    return folder / "load.html"


async def cells(seen: Visit, figure: str, row: int) -> list[str]:
    """The texts of a row of the table of values."""
    return await seen.page.locator(f"#{figure} .values tbody tr").nth(row).locator("th, td").all_text_contents()


async def readouts(seen: Visit) -> list[str]:
    """What stands above the pictures of the chosen window."""
    texts = await seen.page.locator("#window1 .readout").all_text_contents()
    return [" ".join(text.replace("\u00b7", " ").split()) for text in texts]


async def test_the_pointer_shows_the_values_of_one_time_in_all_pictures(visit, page_file):
    seen = await visit(page_file.as_uri())
    chart = seen.page.locator("#requests1 .chart")
    box = await chart.bounding_box()
    rows = await seen.page.locator("#requests1 .values tbody tr").count()
    await chart.hover(position={"x": box["width"] * 10.5 / rows, "y": 50})
    time, success, refused, client_error, failed = await cells(seen, "requests1", 10)
    found = await readouts(seen)
    assert found[0] == f"{time} success {success} refused {refused} client error {client_error} failed {failed}"
    assert len(found) == 8
    assert all(text.startswith(time) for text in found)
    await seen.page.locator("h1").hover()
    assert set(await readouts(seen)) == {""}


async def test_arrow_keys_do_the_same(visit, page_file):
    seen = await visit(page_file.as_uri())
    await seen.page.locator("#latency1 .chart").focus()
    for key, row in (("Home", 0), ("ArrowRight", 1), ("End", -1), ("ArrowLeft", -2)):
        await seen.page.keyboard.press(key)
        time, p50, p95, p99 = await cells(seen, "latency1", row)
        assert (await readouts(seen))[1] == f"{time} p50 {p50} p95 {p95} p99 {p99}"
    await seen.page.keyboard.press("Escape")
    assert set(await readouts(seen)) == {""}


async def test_windows_are_chosen_without_a_script_and_the_longest_is_shown_first(visit, page_file):
    seen = await visit(page_file.as_uri(), java_script_enabled=False)
    assert [await seen.page.locator(f"#window{index}").is_visible() for index in (0, 1)] == [False, True]
    await seen.page.get_by_text("1h", exact=True).last.click()
    assert [await seen.page.locator(f"#window{index}").is_visible() for index in (0, 1)] == [True, False]


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark"}])
async def test_it_has_nothing_that_keeps_people_out_and_fits_a_phone(visit, page_file, options):
    seen = await visit(page_file.as_uri(), viewport={"width": 320, "height": 700}, **options)
    assert await seen.page.evaluate("document.documentElement.scrollWidth") == 320
    assert await serious_findings(seen.page) == []
