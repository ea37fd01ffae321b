"""The page and its files over HTTP, and what is there without them."""

import json
import re

import pytest
from in_process import client_of, new_app

from src.api.dependencies import services_of
from src.api.web import FOLDER, MEDIA_TYPES, web_routes

KEY = "sk-page-test"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".html")


async def codes_recorded(log_dir, path: str, **settings) -> list[int]:
    """The statuses in the metrics log of an application with `settings` after one request for `path`."""
    app = new_app(log_dir, **settings)
    async with client_of(app) as client:
        await client.get(path)
    services_of(app).metrics.close()
    log = log_dir / "metrics" / "metrics.log"
    codes = [json.loads(line)["code"] for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return codes


async def test_the_page_is_html_with_a_policy(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        page = await client.get("/", headers={"accept-encoding": "gzip"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-encoding"] == "gzip"
    assert "ws://stt.example.com " in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert '<meta name="parakeet-model" content="tiny">' in page.text


async def test_who_has_the_page_gets_304_with_its_policy(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        page = await client.get("/")
        again = await client.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == page.headers["content-security-policy"]


@pytest.mark.parametrize("name", FILES)
async def test_each_file_of_the_folder_is_served_as_what_it_is(tmp_path, name):
    async with client_of(new_app(tmp_path)) as client:
        file = await client.get(f"/web/{name}")
    assert (file.status_code, file.content) == (200, (FOLDER / name).read_bytes())
    assert file.headers["content-type"].startswith(MEDIA_TYPES[f".{name.rpartition('.')[2]}"])


@pytest.mark.parametrize(
    "path",
    ["/web", "/web/", "/web/index.html", "/web/none.js", "/web/../app.py", "/web/%2e%2e/app.py", "/web//x.css"],
)
async def test_other_paths_are_not_found(tmp_path, path):
    async with client_of(new_app(tmp_path)) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_only_known_kinds_of_files_are_served(tmp_path):
    for name in ("index.html", "a.js", "b.css", "README.md", "c.py", ".hidden"):
        (tmp_path / name).write_text("<!--facts-->")
    assert [route.path for route in web_routes(tmp_path)] == ["/", "/web/a.js", "/web/b.css"]


@pytest.mark.parametrize("path", ["/", f"/web/{FILES[0]}"])
async def test_other_methods_than_get_are_refused_as_everywhere(tmp_path, path):
    async with client_of(new_app(tmp_path)) as client:
        answer = await client.post(path, content=b"x")
        head = await client.head(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("path", ["/", f"/web/{FILES[0]}"])
async def test_the_page_needs_no_key_and_leaves_no_record(tmp_path, path):
    assert await codes_recorded(tmp_path, path, api_keys=KEY) == []
    assert await codes_recorded(tmp_path, "/web/none.js", api_keys=KEY) == [401]


@pytest.mark.parametrize("path", ["/", f"/web/{FILES[0]}"])
async def test_without_the_page_its_paths_are_like_any_other(tmp_path, path):
    async with client_of(new_app(tmp_path / "other", web=False)) as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"There is no {path} on this server."
    assert await codes_recorded(tmp_path, path, web=False) == [404]
    assert await codes_recorded(tmp_path, path, web=False, api_keys=KEY) == [401]


def test_the_page_names_no_other_host_and_has_no_script_or_style_within():
    html = (FOLDER / "index.html").read_text()
    assert re.findall(r"""(?:src|href)=["']?(?:[a-z]+:|/)[^"'>]*""", html) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html) == []
