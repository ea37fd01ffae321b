"""Where on the application a request goes, whatever a proxy and a client have made of its path."""

from starlette.types import ASGIApp, Receive, Scope, Send

AZURE = "/openai/"
"""What Azure's paths begin with."""


class PathNormalizer:
    """ASGI middleware: finds the path of each request, so that all behind it agree on one.

    A proxy that serves the application under a prefix may take it off or leave it on, and a slash at the end changes
    nothing: a redirect to the path without it would cost many clients their body. As ASGI has it, `path` begins with
    `root_path`.

    Args:
        app: what is behind it.
        root_path: the prefix, "" for none, such as `/stt`.
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
    """Return whether a request came by one of Azure's paths, where a model's name is that of a deployment: any."""
    return route_path(scope).startswith(AZURE)


def route_path(scope: Scope) -> str:
    """Return the path that a route is found by: that of a request without the prefix of a proxy."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
