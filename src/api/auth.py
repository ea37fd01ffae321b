"""Authentication: the ASGI middleware that checks the key of each connection before its body is read.

A client sends its key as `Authorization: Bearer KEY` or, as with Azure, `api-key: KEY`. A browser cannot set headers on
a WebSocket. It sends the key as the subprotocol `openai-insecure-api-key.KEY` (platform.openai.com, "Realtime API with
WebSockets") or, as Azure's SDKs do, in the query: `api-key`, or `Authorization` with the value of the header
(learn.microsoft.com, "Realtime API via WebSockets").
"""

from collections.abc import Sequence

from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from src.api.client_limits import ClientLimits
from src.api.errors import send_error
from src.api.keys import ApiKeys, Credential
from src.api.paths import is_realtime, route_path
from src.api.temporary_keys import TemporaryKeys
from src.errors import ServiceError

KEY_PROTOCOL = "openai-insecure-api-key."
AZURE_KEY = "api-key"
"""Azure's name for the header and for the query parameter."""


class Authentication:
    """ASGI middleware: sets `state.credential` (a `Credential`) and `state.client` (its name), or answers an error.

    Args:
        app: the application behind it.
        keys: the keys that are valid everywhere.
        temporary_keys: the temporary keys, which are valid for WebSockets.
        limits: what each client may have in progress at a time.
        open_paths: paths that need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: ApiKeys,
        temporary_keys: TemporaryKeys,
        limits: ClientLimits,
        open_paths: frozenset[str],
    ) -> None:
        self._app = app
        self._keys = keys
        self._temporary_keys = temporary_keys
        self._limits = limits
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`."""
        if scope["type"] not in ("http", "websocket") or route_path(scope) in self._open_paths:
            await self._app(scope, receive, send)
            return
        try:
            meant = _meant(scope)
            credential = self._credential(meant)
            client = self._limits.admit(meant, credential)
        except ServiceError as error:
            await send_error(error, scope, receive, send)
            return
        with self._limits.counted(scope, client):
            scope.setdefault("state", {}).update(credential=credential, client=client)
            await self._app(scope, receive, send)

    def _credential(self, scope: Scope) -> Credential:
        key = _sent_key(scope)
        temporary = self._temporary_keys.credential(key) if scope["type"] == "websocket" else None
        return temporary or self._keys.credential(key)


def credential_of(connection: HTTPConnection) -> Credential:
    """Return the credential that `Authentication` has set."""
    credential: Credential = connection.state.credential
    return credential


def client_of(connection: HTTPConnection) -> str:
    """Return the name of the client that `Authentication` has set."""
    client: str = connection.state.client
    return client


def _meant(scope: Scope) -> Scope:
    """Return `scope` or, if it is of a plain request for the path of a WebSocket, that of a WebSocket.

    Such a request gets what the WebSocket would get: browsers hide why one is refused, so pages ask in this way.
    """
    if scope["type"] == "websocket" or not is_realtime(scope):
        return scope
    lists = Headers(scope=scope).getlist("sec-websocket-protocol")
    subprotocols = [name.strip() for each in lists for name in each.split(",")]
    return {**scope, "type": "websocket", "subprotocols": subprotocols}


def _sent_key(scope: Scope) -> str | None:
    """Return the key that a client sends, or None."""
    headers = Headers(scope=scope)
    key = headers.get(AZURE_KEY, "").strip() or _bearer(headers.get("authorization", ""))
    return _key_of_browser(scope) if key is None and scope["type"] == "websocket" else key


def _key_of_browser(scope: Scope) -> str | None:
    """Return the key that a WebSocket has in its subprotocols or its query, or None."""
    subprotocols: Sequence[str] = scope.get("subprotocols", ())
    protocol = next((name for name in subprotocols if name.startswith(KEY_PROTOCOL)), None)
    if protocol is not None:
        return protocol.removeprefix(KEY_PROTOCOL)
    query = QueryParams(scope["query_string"])
    return query.get(AZURE_KEY) or _bearer(query.get("Authorization", ""))


def _bearer(authorization: str) -> str | None:
    """Return the key in the value of an `Authorization` header, or None."""
    scheme, _, key = authorization.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None
