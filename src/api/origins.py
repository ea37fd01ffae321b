"""Which web pages may call a service without keys: the ASGI middleware that refuses those of other origins.

Without keys, a page that a user opens anywhere could send to a service that only this user's machine or network
reaches. It shows itself in two ways, which no page can hide:

- Its origin. A browser sends `Origin` with every WebSocket handshake, and with every request that may change anything
  (fetch.spec.whatwg.org, "`Origin` header"). It must be the service's own, or one of `PARAKEET_CORS_ORIGINS`.
- The service's name, if the page's own name leads to it (DNS rebinding). Then its origin is the service's own. Only the
  holder of a name with a dot can let it lead elsewhere, and only for plain http: for https, the service has no
  certificate for it.

Clients that are not browsers send no `Origin`, or the service's own.
"""

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from src.api.errors import send_error
from src.api.paths import PROBES, route_path
from src.errors import ForeignOrigin, HostNotAllowed, ServiceError

PROXY_HEADERS = ("forwarded", "x-forwarded-host", "x-forwarded-for", "x-real-ip")
"""Headers that reverse proxies add."""
MAX_SHOWN = 100
"""Characters of an origin or a host that an error message quotes."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/?#@\s]+)/?")


class OriginGuard:
    """ASGI middleware: answers 403 to pages of foreign origins, and to names of this service that may be theirs.

    Args:
        app: the application behind it.
        origins: the origins that may call, in lower case and as browsers send them.
        is_local: whether the service listens to its own machine only.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str], *, is_local: bool) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._names = frozenset(_name(match["host"]) for each in origins if (match := _ORIGIN.fullmatch(each)))
        self._is_local = is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of `scope`."""
        if scope["type"] in ("http", "websocket") and route_path(scope) not in PROBES:
            try:
                self._check(scope)
            except ServiceError as error:
                await send_error(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Check the origin and the host of a connection.

        Raises:
            ForeignOrigin: its page is not this service's, and its origin is not listed.
            HostNotAllowed: the name by which it reaches this service may belong to somebody else.
        """
        headers = Headers(scope=scope)
        origin, host = headers.get("origin", "").strip().lower(), headers.get("host", "").strip().lower()
        if origin in self._origins:
            return
        if origin and not _is_own(origin, headers):
            raise ForeignOrigin(
                f"Pages of the origin {origin[:MAX_SHOWN]!r} may not call this server, which has no API keys. List the "
                f"origin in PARAKEET_CORS_ORIGINS. If the page is this server's own, let the proxy in front of it send "
                f"`X-Forwarded-Host`.",
                param="origin",
            )
        if _name(host) not in self._names and self._may_be_rebound(origin, host, headers, scope):
            raise HostNotAllowed(
                f"The name {host[:MAX_SHOWN]!r} may not be this server's own, and it has no API keys. List "
                f"http://{host[:MAX_SHOWN]} in PARAKEET_CORS_ORIGINS if it is.",
                param="host",
            )

    def _may_be_rebound(self, origin: str, host: str, headers: Headers, scope: Scope) -> bool:
        """Return whether the host of a connection may be the name of a page that leads to this machine.

        A proxy in front of the service passes on names too. It tells so in headers, which a page can forge, but not in
        a handshake, and not without a plain `Origin`.
        """
        if not host or is_safe_name(_name(host)):
            return False
        if origin:
            return origin.startswith("http://") and _is_loopback((scope.get("server") or ("",))[0])
        return self._is_local and not any(name in headers for name in PROXY_HEADERS)


def is_safe_name(name: str) -> bool:
    """Return whether a host's name can lead to no other machine by the will of a stranger.

    So it is with addresses, with `localhost`, and with names without a dot, which only the local network resolves.
    """
    return "." not in name or name.endswith(".localhost") or _address(name) is not None


def is_loopback_host(host: str) -> bool:
    """Return whether a service that listens at `host` is reached from its own machine only."""
    return host == "localhost" or _is_loopback(host)


def _is_own(origin: str, headers: Headers) -> bool:
    """Return whether an origin is that of the service's own pages, as its client or a proxy names its host.

    A page of another origin can set neither of these headers without the consent of the service.
    """
    if headers.get("sec-fetch-site") == "same-origin":
        return True
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return False
    forwarded = headers.get("x-forwarded-host", "").split(",")
    hosts = {each.strip().lower() for each in (headers.get("host", ""), *forwarded)} - {""}
    default_port = _DEFAULT_PORTS.get(match["scheme"], "")
    return match["host"] in {each.removesuffix(default_port) for each in hosts}


def _name(authority: str) -> str:
    """Return the name or address in the host of a URL, without its port and brackets, and without a dot at its end."""
    bracketed = re.match(r"\[([^\]]*)\]", authority)
    return bracketed[1] if bracketed else authority.partition(":")[0].removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and address.is_loopback
