"""`/docs` and `/redoc`: the description of the API for people, with its files, from this server alone."""

import asyncio
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from src.api.docs_html import docs_html
from src.api.known_paths import base_url
from src.api.page_headers import HOST, page_headers
from src.api.paths import DOCS, DOCS_FILES, OPENAPI, REDOC
from src.api.static_file import StaticFile
from src.api.web import FOLDER, file_route

DESCRIPTION = "<!--description-->"
MACHINES = "<!--machines-->"
ROOT = "%ROOT%"
BASE = "%BASE%"
MAX_ADDRESSES = 8
"""Addresses of the server for which the page is kept. Clients choose the address, as their `Host`."""


class DocsPage:
    """The page. Its description is made once, when it is first asked for; the address of the server is filled in.

    Args:
        html: has `DESCRIPTION`, `MACHINES` and `ROOT` in places for the description, the way to the OpenAPI document,
            and the prefix of all paths.
        describe: returns the OpenAPI document.
        has_keys: whether the OpenAPI document needs a key, so that a link to it leads nowhere.
    """

    def __init__(self, html: str, describe: Callable[[], dict[str, Any]], *, has_keys: bool) -> None:
        self._html = html
        self._describe = describe
        self._has_keys = has_keys
        self.filled = lru_cache(MAX_ADDRESSES)(self._filled)
        """Returns the page for a server with a base URL and a prefix of all paths; may be called in any thread."""

    @cached_property
    def _template(self) -> str:
        path = f"{ROOT}{OPENAPI}"
        machines = f"<code>{path}</code>, with the key" if self._has_keys else f'<a href="{path}">openapi.json</a>'
        html = self._html.replace(MACHINES, machines)
        return html.replace(DESCRIPTION, docs_html(self._describe(), BASE))

    def _filled(self, base: str, root_path: str) -> StaticFile:
        html = self._template.replace(ROOT, root_path).replace(BASE, base)
        return StaticFile.prepare(html.encode(), "text/html")


def docs_routes(describe: Callable[[], dict[str, Any]], *, has_keys: bool, folder: Path = FOLDER) -> list[Route]:
    """Return the routes. `describe` returns the OpenAPI document, which needs a key if the service `has_keys`."""
    page = DocsPage((folder / "docs.html").read_text(), describe, has_keys=has_keys)

    async def docs(request: Request) -> Response:
        # To make the page takes milliseconds, and the OpenAPI document a fifth of a second.
        html = await asyncio.to_thread(page.filled, _plain_base(request.scope), request.scope.get("root_path", ""))
        return html.answer(request.headers, page_headers(request.scope))

    pages = [Route(path, docs, include_in_schema=False) for path in (DOCS, REDOC)]
    return [*pages, *(file_route(path, folder / path.rpartition("/")[2]) for path in DOCS_FILES)]


def _plain_base(scope: Scope) -> str:
    """Return the base URL that a client sets; that of the server's socket if the client's `Host` is a strange one."""
    base = base_url(scope)
    return base if HOST.fullmatch(URL(base).netloc) else base_url({**scope, "headers": []})
