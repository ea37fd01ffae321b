"""Which client a request is from, and how much each may have under way."""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from src.api.keys import Credential
from src.errors import TooManyForClient, TooManyForKey

RETRY_S = 1.0
IPV6_PREFIX = 64
"""Bits of an IPv6 address that stand for one client: the rest is its own to choose (RFC 4291, 2.5.4)."""


class ClientLimits:
    """Counts the requests with work in them, and the sessions, that each client has under way.

    A client is a key, where keys are set, and else an address.

    Args:
        most_per_key: what one key may have at a time; 0 for any number.
        most_per_address: what one address may have at a time, where no keys are set; 0 for any number.
    """

    def __init__(self, *, max_per_key: int = 0, max_per_address: int = 0) -> None:
        self._most_per_key = max_per_key
        self._most_per_address = max_per_address
        self._under_way: Counter[str] = Counter()

    def admitted(self, scope: Scope, credential: Credential) -> str:
        """Return the name of a client that may have one more under way, if it is work that it asks for.

        Raises:
            TooManyForKey, TooManyForClient: it has as much as it may have.
        """
        client = client_name(scope, credential)
        if _is_work(scope):
            self._check(client, credential)
        return client

    @contextmanager
    def counted(self, scope: Scope, client: str) -> Iterator[None]:
        """Count the block for a client that has just been admitted, if it is work."""
        if not _is_work(scope):
            yield
            return
        self._under_way[client] += 1
        try:
            yield
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]

    def _check(self, client: str, credential: Credential) -> None:
        under_way = self._under_way[client]
        if credential.owner is not None:
            if under_way >= self._most_per_key > 0:
                message = f"This API key has {under_way} requests and sessions under way, the most it may have."
                raise TooManyForKey(message, retry_after_s=RETRY_S)
        elif under_way >= self._most_per_address > 0:
            message = f"This address has {under_way} requests and sessions under way, the most it may have."
            raise TooManyForClient(message, retry_after_s=RETRY_S)


def _is_work(scope: Scope) -> bool:
    """Whether it is a POST or a session."""
    return scope["type"] == "websocket" or bool(scope["method"] == "POST")


def client_name(scope: Scope, credential: Credential) -> str:
    """Return what stands for a client: the number of its key, or else the address that it comes from."""
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
