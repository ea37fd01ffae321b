"""Concurrency limits for each client: how many requests and sessions it may have in progress."""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from src.api.keys import Credential
from src.errors import TooManyForClient, TooManyForKey

RETRY_S = 1.0
IPV6_PREFIX = 64
"""Bits of an IPv6 address that stand for one client. The client chooses the rest itself (RFC 4291, 2.5.4)."""


class ClientLimits:
    """Counts the POST requests and sessions that each client has in progress, and limits them.

    A client is a key if keys are set, else an address.

    Args:
        max_per_key: limit for one key; 0 for none.
        max_per_address: limit for one address, if no keys are set; 0 for none.
    """

    def __init__(self, *, max_per_key: int = 0, max_per_address: int = 0) -> None:
        self._max_per_key = max_per_key
        self._max_per_address = max_per_address
        self._in_progress: Counter[str] = Counter()

    def admit(self, scope: Scope, credential: Credential) -> str:
        """Return the name of the client of `scope`. GET requests are not limited.

        Raises:
            TooManyForKey, TooManyForClient: the client is at its limit.
        """
        client = client_name(scope, credential)
        if _is_limited(scope):
            self._check(client, credential)
        return client

    @contextmanager
    def counted(self, scope: Scope, client: str) -> Iterator[None]:
        """Count the connection of `scope`, which `admit` has just admitted, during the block."""
        if not _is_limited(scope):
            yield
            return
        self._in_progress[client] += 1
        try:
            yield
        finally:
            self._in_progress[client] -= 1
            if not self._in_progress[client]:
                del self._in_progress[client]

    def _check(self, client: str, credential: Credential) -> None:
        count = self._in_progress[client]
        if credential.owner is not None:
            if count >= self._max_per_key > 0:
                message = f"This API key has {count} requests and sessions in progress, which is its limit."
                raise TooManyForKey(message, retry_after_s=RETRY_S)
        elif count >= self._max_per_address > 0:
            message = f"This address has {count} requests and sessions in progress, which is its limit."
            raise TooManyForClient(message, retry_after_s=RETRY_S)


def _is_limited(scope: Scope) -> bool:
    return scope["type"] == "websocket" or bool(scope["method"] == "POST")


def client_name(scope: Scope, credential: Credential) -> str:
    """Return a name for the client of `scope`: the number of its key or, without one, its address."""
    if credential.owner is not None:
        return f"key {credential.owner}"
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
