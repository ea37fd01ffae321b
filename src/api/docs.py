"""`/docs` and `/redoc`: the description of the API for people, with its style sheets, from this server alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from src.api.docs_html import docs_html
from src.api.known_paths import base_url
from src.api.page_headers import page_headers
from src.api.paths import DOCS, DOCS_STYLES, REDOC
from src.api.static_file import StaticFile
from src.api.web import FOLDER, file_route

MARK = "<!--description-->"
ROOT = "%ROOT%"


class DocsPage:
    """The page, made when it is first asked for, and again for another address of the server.

    Args:
        html: has `MARK` and `ROOT` once, in places for the description and the prefix of all paths.
        describe: returns the OpenAPI document.
    """

    def __init__(self, html: str, describe: Callable[[], dict[str, Any]]) -> None:
        self._html = html
        self._describe = describe
        self._made: tuple[str, str, StaticFile] | None = None

    def made(self, base: str, root_path: str) -> StaticFile:
        """Return the page for a server with the base URL `base`, whose paths begin with `root_path`."""
        if self._made is None or self._made[:2] != (base, root_path):
            html = self._html.replace(MARK, docs_html(self._describe(), base)).replace(ROOT, root_path)
            self._made = base, root_path, StaticFile.prepare(html.encode(), "text/html")
        return self._made[2]


def docs_routes(describe: Callable[[], dict[str, Any]], folder: Path = FOLDER) -> list[Route]:
    """Return the routes. `describe` returns the OpenAPI document."""
    page = DocsPage((folder / "docs.html").read_text(), describe)

    async def docs(request: Request) -> Response:
        html = page.made(base_url(request.scope), request.scope.get("root_path", ""))
        return html.answer(request.headers, page_headers(request.scope))

    pages = [Route(path, docs, include_in_schema=False) for path in (DOCS, REDOC)]
    return [*pages, *(file_route(path, folder / path.rpartition("/")[2]) for path in DOCS_STYLES)]
