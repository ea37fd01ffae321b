"""The page at `/` and its files, from the folder `src/web`. Each file has a route of its own."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from src import __version__
from src.api.dependencies import services_of
from src.api.page_headers import page_headers
from src.api.page_template import PageFacts, PageTemplate
from src.api.paths import WEB
from src.api.static_file import StaticFile

FOLDER = Path(__file__).parent.parent / "web"
PAGE = "index.html"
MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}
"""What is served, by the end of its name."""


def web_routes(folder: Path = FOLDER) -> list[Route]:
    """Return the routes of the page and of each file in `folder`, which are read now."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES]
    page = _page_route(PageTemplate((folder / PAGE).read_text()))
    return [page, *(file_route(f"{WEB}{path.name}", path) for path in files)]


def file_route(route_path: str, file: Path) -> Route:
    """Return the route of a file, which is read now."""
    prepared = StaticFile.prepare(file.read_bytes(), MEDIA_TYPES[file.suffix])

    async def send(request: Request) -> Response:
        return prepared.answer(request.headers, page_headers(request.scope))

    return Route(route_path, send, include_in_schema=False)


def _page_route(template: PageTemplate) -> Route:
    async def page(request: Request) -> Response:
        facts = PageFacts.of(services_of(request.app), __version__)
        html = template.filled(facts, request.scope.get("root_path", ""))
        return html.answer(request.headers, page_headers(request.scope))

    return Route("/", page, include_in_schema=False)
