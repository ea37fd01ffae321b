"""The paths of the application, for callers who have missed one."""

from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.datastructures import URL
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Scope

from src.api.hints import MIN_SIMILARITY, nearest_path
from src.api.paths import AZURE, route_path
from src.errors import UnknownPath

VERSION = "/v1"
"""What the paths of OpenAI's API begin with, and base URLs end with."""
MAX_SHOWN = 200
"""Characters of a wrong path that its error repeats."""


class KnownPaths:
    """The application's own paths: those without a parameter, and without Azure's, which stand for them.

    Args:
        routes: all of the application's.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        found = [(each.path or "", each.original_route) for each in iter_route_contexts(routes)]
        own = [(path, route) for path, route in found if "{" not in path and not path.startswith(AZURE)]
        self._paths = frozenset(path for path, _ in own)
        self._sockets = frozenset(path for path, route in own if isinstance(route, WebSocketRoute))

    def missing(self, scope: Scope) -> UnknownPath:
        """Return the error for a connection whose path is no route's, or not by this protocol."""
        path = route_path(scope)
        shown = scope["path"][:MAX_SHOWN]
        if scope["type"] == "http":
            return UnknownPath(f"There is no {shown} on this server.{self.hint(scope, path)}")
        if path in self._paths:
            return UnknownPath(f"{shown} is no WebSocket: request it with http:// or https://.")
        return UnknownPath(f"There is no WebSocket {shown} on this server.{self.hint(scope, path)}")

    def wrong_method(self, scope: Scope) -> str:
        """Return what to tell a caller whose path is a route's that does not take its method."""
        told = f"{scope['path'][:MAX_SHOWN]} does not take {scope['method']}."
        tail = route_path(scope).removeprefix(f"{VERSION}/models/")  # which takes whatever path is put behind it
        return told + self.hint(scope, tail, min_similarity=1) if tail != route_path(scope) else told

    def hint(self, scope: Scope, path: str, *, min_similarity: float = MIN_SIMILARITY) -> str:
        """Return the sentences, after a space, on what the caller at `scope` has probably meant by `path`; or "".

        `min_similarity` is as for `nearest_path`.
        """
        known = self._sockets if scope["type"] == "websocket" else self._paths
        nearest = nearest_path(path, known, min_similarity=min_similarity)
        if nearest is None:
            return ""
        meant = f" Did you mean {scope.get('root_path', '')}{nearest}?"
        if not nearest.startswith(f"{VERSION}/"):
            return meant
        return f"{meant} The base URL to set in a client is {base_url(scope)}."


def base_url(scope: Scope) -> str:
    """Return what a client that has reached the server at `scope` sets as the base URL of OpenAI's API."""
    asked = URL(scope={**scope, "query_string": b""})  # it takes no `Host` that cannot be one
    scheme = {"ws": "http", "wss": "https"}.get(asked.scheme, asked.scheme)
    return f"{scheme}://{asked.netloc}{scope.get('root_path', '')}{VERSION}"
