"""The headers of a page: what a browser may load and do for it (w3.org/TR/CSP3).

There is no `Cross-Origin-Opener-Policy`: browsers log an error about it where the service is reached by plain HTTP.
"""

import re

from starlette.datastructures import URL
from starlette.types import Scope

HOST = re.compile(r"(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
"""A host with its port that may be repeated to a client: a name has at most 253 characters (RFC 1035, 2.3.4)."""

POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self' blob:",
    "media-src 'self' blob:",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'self'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
"""What is the same for all requests: only files of the service, no script or style within the page, and no text that
becomes markup (w3.org/TR/trusted-types)."""


def page_headers(scope: Scope) -> dict[str, str]:
    """Return the headers of a page that is requested by `scope`."""
    return {
        "content-security-policy": "; ".join((*POLICY, _connections(scope))),
        "referrer-policy": "no-referrer",
    }


def _connections(scope: Scope) -> str:
    """Return where the page may connect to. In Safari before 15.4, `'self'` does not cover WebSockets of this host.

    Both schemes are named, as a proxy that ends TLS may not say so.
    """
    host = URL(scope={**scope, "query_string": b""}).netloc
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    return f"connect-src 'self'{sockets}"
