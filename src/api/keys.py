"""API keys that the operator sets, and what a key makes of a client.

A key is compared with every known key, by `hmac.compare_digest`, so that the time that this takes reveals nothing.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from src.errors import InvalidApiKey
from src.realtime.config import SessionConfig


@dataclass(frozen=True, slots=True)
class Credential:
    """Who a client is."""

    owner: int | None = None
    """Number of the client's key; None if no keys are set."""
    session: SessionConfig | None = None
    """The initial configuration of sessions with a temporary key."""


ANONYMOUS = Credential()


class ApiKeys:
    """The keys that the operator has set.

    Args:
        keys: the keys. If there are none, every client is accepted.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(map(_digest, keys))

    def credential(self, key: str | None) -> Credential:
        """Return the credential of a client that sends `key`, or no key.

        Raises:
            InvalidApiKey: keys are set, and `key` is not one of them.
        """
        if not self._digests:
            return ANONYMOUS
        if key is None:
            raise InvalidApiKey("This server needs an API key. Send it as the header `Authorization: Bearer KEY`.")
        sent = _digest(key)
        matches = [hmac.compare_digest(sent, digest) for digest in self._digests]
        if not any(matches):
            raise InvalidApiKey("The API key is not one of this server's.")
        return Credential(matches.index(True))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
