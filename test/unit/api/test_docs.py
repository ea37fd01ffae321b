"""The pages that describe the API: open, from this server alone, and there without the other page too."""

import re

import pytest
from in_process import BASE_URL, client_of, new_app

from src.api.docs import BASE, DESCRIPTION, MACHINES, MAX_ADDRESSES, ROOT, DocsPage

DOCUMENT = {"paths": {}, "components": {"schemas": {}}}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
@pytest.mark.parametrize("settings", [{}, {"web": False}, {"api_keys": "sk-docs-test"}])
async def test_the_description_needs_no_key_and_no_page(tmp_path, path, settings):
    async with client_of(new_app(tmp_path, **settings)) as client:
        docs = await client.get(path)
        assert (docs.status_code, docs.headers["content-type"]) == (200, "text/html; charset=utf-8")
        files = {link: await client.get(link) for link in re.findall(r'<link [^>]*href="([^"]+)"', docs.text)}
    assert {
        link: (file.status_code, file.headers["content-type"].partition(";")[0]) for link, file in files.items()
    } == {
        "/docs/icon.svg": (200, "image/svg+xml"),  # without one, browsers ask for /favicon.ico
        "/docs/page.css": (200, "text/css"),
        "/docs/docs.css": (200, "text/css"),
    }
    assert "<h2><small>POST</small> /v1/audio/transcriptions</h2>" in docs.text
    assert "default-src 'none'" in docs.headers["content-security-policy"]
    assert [mark for mark in (BASE, DESCRIPTION, MACHINES, ROOT) if mark in docs.text] == []


async def test_nothing_comes_from_another_host_and_nothing_runs(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        docs = await client.get("/docs")
    assert re.findall(r'(?:src|href)="(?:[a-z]+:|//)[^"]*"', docs.text) == []
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", docs.text)
    assert f"curl {BASE_URL}/v1/models" in docs.text


@pytest.mark.parametrize("keys", ["", "sk-docs-test"])
async def test_the_document_for_machines_is_linked_unless_it_needs_a_key(tmp_path, keys):
    async with client_of(new_app(tmp_path, api_keys=keys)) as client:
        docs = await client.get("/docs")
        assert (await client.get("/openapi.json")).status_code == (401 if keys else 200)
    assert ('href="/openapi.json"' in docs.text) == (not keys)
    assert "/openapi.json" in docs.text


@pytest.mark.parametrize("host", ["x" * 254, "x" * 30_000, "a;b", "a b", "<script>"])
async def test_a_strange_host_is_not_repeated(tmp_path, host):
    async with client_of(new_app(tmp_path)) as client:
        docs = await client.get("/docs", headers={"host": host})
    assert docs.status_code == 200
    assert host not in docs.text
    assert host not in str(docs.headers)


def test_the_description_is_made_once_and_a_few_addresses_are_kept():
    made = []
    page = DocsPage(f"{ROOT}/x.css {DESCRIPTION}", lambda: made.append(1) or DOCUMENT, has_keys=False)
    first = page.filled("http://a/v1", "")
    assert page.filled("http://a/v1", "") is first
    assert page.filled("http://b/stt/v1", "/stt").body.startswith(b"/stt/x.css ")
    for number in range(MAX_ADDRESSES):
        page.filled(f"http://{number}/v1", "")
    again = page.filled("http://a/v1", "")
    assert again is not first
    assert again == first
    assert made == [1]
