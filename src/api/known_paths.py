"""The paths of the application, and the errors for requests to other paths."""

from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.datastructures import URL
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Scope

from src.api.hints import MIN_SIMILARITY, nearest_path
from src.api.paths import AZURE, DOCS, WEB, route_path
from src.errors import UnknownPath

VERSION = "/v1"
"""Prefix of the paths of OpenAI's API, and the end of base URLs."""
MAX_SHOWN = 200
"""Characters of a wrong path that its error message quotes."""


class KnownPaths:
    """The paths that errors may suggest: those without parameters, except Azure's, which are aliases, and the page's.

    Args:
        routes: all routes of the application.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        found = [(each.path or "", each.original_route) for each in iter_route_contexts(routes)]
        own = [
            (path, route)
            for path, route in found
            if "{" not in path and path != "/" and not path.startswith((AZURE, WEB, f"{DOCS}/"))
        ]
        self._paths = frozenset(path for path, _ in own)
        self._sockets = frozenset(path for path, route in own if isinstance(route, WebSocketRoute))

    def missing(self, scope: Scope) -> UnknownPath:
        """Return the error for a connection whose path no route has, or none for its protocol."""
        path = route_path(scope)
        shown = scope["path"][:MAX_SHOWN]
        if scope["type"] == "http":
            return UnknownPath(f"There is no {shown} on this server.{self.hint(scope, path)}")
        if path in self._paths:
            return UnknownPath(f"{shown} is not a WebSocket: request it with http:// or https://.")
        return UnknownPath(f"There is no WebSocket {shown} on this server.{self.hint(scope, path)}")

    def wrong_method(self, scope: Scope) -> str:
        """Return the error message for a request whose path does not take its method."""
        message = f"{scope['path'][:MAX_SHOWN]} does not take {scope['method']}."
        tail = route_path(scope).removeprefix(f"{VERSION}/models/")  # this route takes any path behind it
        return message + self.hint(scope, tail, min_similarity=1) if tail != route_path(scope) else message

    def hint(self, scope: Scope, path: str, *, min_similarity: float = MIN_SIMILARITY) -> str:
        """Return a space and sentences that suggest a known path in place of `path`; "" if none is similar.

        `scope` is that of the connection, whose protocol and address count. `min_similarity` is as for `nearest_path`.
        """
        known = self._sockets if scope["type"] == "websocket" else self._paths
        nearest = nearest_path(path, known, min_similarity=min_similarity)
        if nearest is None:
            return ""
        suggestion = f" Did you mean {scope.get('root_path', '')}{nearest}?"
        if not nearest.startswith(f"{VERSION}/"):
            return suggestion
        return f"{suggestion} The base URL to set in a client is {base_url(scope)}."


def base_url(scope: Scope) -> str:
    """Return the base URL that a client sets to reach OpenAI's API at the address of `scope`."""
    url = URL(scope={**scope, "query_string": b""})  # it ignores an invalid `Host`
    scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
    return f"{scheme}://{url.netloc}{scope.get('root_path', '')}{VERSION}"
