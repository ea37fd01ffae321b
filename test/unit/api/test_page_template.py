"""The page's HTML with the facts of the service in it."""

import re
from dataclasses import replace
from html import unescape

import pytest
from in_process import new_app

from src.api.dependencies import services_of
from src.api.page_template import MARK, PageFacts, PageTemplate

TEMPLATE = f"<head>{MARK}</head><p>below</p>"


@pytest.fixture
def facts(tmp_path):
    return PageFacts.of(services_of(new_app(tmp_path, max_audio_seconds=7200, max_upload_mb=0.5)), "1.2.3")


def shown(html: bytes) -> dict[str, str]:
    """The facts in a page, by name."""
    found = re.findall(r'<meta name="parakeet-([a-z-]+)" content="([^"]*)">', html.decode())
    return {name: unescape(value) for name, value in found}


def test_the_facts_are_those_of_the_settings(facts):
    assert shown(PageTemplate(TEMPLATE).filled(facts, "").body) == {
        "version": "1.2.3",
        "model": "tiny",
        "keys": "0",
        "languages": "",
        "max-audio-seconds": "7200",
        "max-upload-bytes": "524288",
        "max-sessions": "256",
        "session-seconds": "3600",
        "idle-seconds": "600",
        "hypothesis": "1",
    }


def test_the_page_says_that_keys_are_wanted_and_not_which(tmp_path):
    services = services_of(new_app(tmp_path, api_keys="sk-page-test", realtime_partials=False))
    html = PageTemplate(TEMPLATE).filled(PageFacts.of(services, "1"), "").body
    assert (shown(html)["keys"], shown(html)["hypothesis"]) == ("1", "0")
    assert b"sk-page-test" not in html


def test_a_fact_is_text_and_never_markup(facts):
    model = "\"><script>alert('x')</script>&amp;"
    html = PageTemplate(TEMPLATE).filled(replace(facts, model=model), "").body
    assert shown(html)["model"] == model
    assert b"<script" not in html


def test_the_rest_of_the_page_stays(facts):
    html = PageTemplate(TEMPLATE).filled(facts, "").body.decode()
    assert html.startswith("<head><meta ")
    assert html.endswith("</head><p>below</p>")


def test_below_a_prefix_addresses_begin_there(facts):
    template = PageTemplate(TEMPLATE)
    assert b'<base href="/stt/">' in template.filled(facts, "/stt").body
    assert b"<base" not in template.filled(facts, "").body


def test_the_page_is_prepared_again_only_if_a_fact_has_changed(facts):
    template = PageTemplate(TEMPLATE)
    first = template.filled(facts, "")
    assert template.filled(replace(facts), "") is first
    loaded = template.filled(replace(facts, languages="en"), "")
    assert shown(loaded.body)["languages"] == "en"
    assert loaded.etag != first.etag


@pytest.mark.parametrize("html", ["<head></head>", MARK * 2])
def test_a_page_without_one_place_for_the_facts_is_an_error(html):
    with pytest.raises(ValueError, match="values to unpack"):
        PageTemplate(html)
