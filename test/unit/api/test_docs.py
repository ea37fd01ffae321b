"""The pages that describe the API: open, from this server alone, and there without the other page too."""

import re

import pytest
from in_process import BASE_URL, client_of, new_app

from src.api.docs import MARK, ROOT, DocsPage

DOCUMENT = {"paths": {}, "components": {"schemas": {}}}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
@pytest.mark.parametrize("settings", [{}, {"web": False}, {"api_keys": "sk-docs-test"}])
async def test_the_description_needs_no_key_and_no_page(tmp_path, path, settings):
    async with client_of(new_app(tmp_path, **settings)) as client:
        docs = await client.get(path)
        assert (docs.status_code, docs.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for style in re.findall(r'<link rel="stylesheet" href="([^"]+)"', docs.text):
            sheet = await client.get(style)
            assert (sheet.status_code, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "<h2><small>POST</small> /v1/audio/transcriptions</h2>" in docs.text
    assert "default-src 'none'" in docs.headers["content-security-policy"]
    assert MARK not in docs.text
    assert ROOT not in docs.text


async def test_nothing_comes_from_another_host_and_nothing_runs(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        docs = await client.get("/docs")
    assert re.findall(r'(?:src|href)="(?:[a-z]+:|//)[^"]*"', docs.text) == []
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", docs.text)
    assert f"curl {BASE_URL}/v1/models" in docs.text


async def test_the_document_for_machines_still_needs_the_key(tmp_path):
    async with client_of(new_app(tmp_path, api_keys="sk-docs-test")) as client:
        assert (await client.get("/openapi.json")).status_code == 401


def test_the_page_is_made_once_for_an_address():
    made = []
    page = DocsPage(f"{ROOT}/x.css {MARK}", lambda: made.append(1) or DOCUMENT)
    first = page.made("http://a/v1", "")
    assert page.made("http://a/v1", "") is first
    assert page.made("http://b/stt/v1", "/stt").body.startswith(b"/stt/x.css ")
    assert len(made) == 2
