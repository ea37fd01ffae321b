"""The path of a request, without what a proxy or a client may have added."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

AZURE = "/openai/"
"""Prefix of Azure's paths."""
REALTIME = re.compile(r"/v1/realtime|/openai(/v1|/deployments/.+)?/realtime")
"""The paths of the WebSocket, Azure's among them."""
PROBES = frozenset({"/healthz", "/readyz"})
"""They send no key, and would outnumber the requests that the metrics are about."""
DOCS, REDOC, OPENAPI = "/docs", "/redoc", "/openapi.json"
"""The description of the API for people, the same under the name that FastAPI's users know too, and for machines."""
DOCS_FILES = ("/docs/page.css", "/docs/docs.css", "/docs/icon.svg")
DOCUMENTATION = frozenset({DOCS, REDOC, *DOCS_FILES})
UNLOGGED = PROBES | DOCUMENTATION | {OPENAPI}
WEB = "/web/"
"""Prefix of the paths of the page's files."""


class PathNormalizer:
    """ASGI middleware: brings the path of each request into one form.

    A proxy that serves the application under a prefix may remove the prefix or keep it. A slash at the end is removed
    and not redirected: many clients lose their body in a redirect. As ASGI demands, `path` begins with `root_path`.

    Args:
        app: the application behind it.
        root_path: the prefix, such as `/stt`; "" for none.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`."""
        if scope["type"] in ("http", "websocket"):
            root_path = self._root_path or scope.get("root_path", "")
            path = route_path(scope)
            if path == root_path or path.startswith(f"{root_path}/"):
                path = path.removeprefix(root_path)
            scope = {**scope, "root_path": root_path, "path": root_path + (path.rstrip("/") or "/")}
        await self._app(scope, receive, send)


def is_azure(scope: Scope) -> bool:
    """Return whether a request has one of Azure's paths, where the model is a deployment and may have any name."""
    return route_path(scope).startswith(AZURE)


def is_realtime(scope: Scope) -> bool:
    """Return whether a request has the path of the WebSocket."""
    return REALTIME.fullmatch(route_path(scope)) is not None


def route_path(scope: Scope) -> str:
    """Return the path of a request without the prefix of a proxy."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
