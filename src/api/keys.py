"""API keys: those that the operator sets, and temporary ones that are made with them for browsers.

A key is compared with every known key, by `hmac.compare_digest`, so that the time that this takes reveals nothing.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from src.errors import InvalidApiKey, TooManySecrets
from src.realtime.config import SessionConfig

SECRET_PREFIX = "ek_"
"""Prefix of OpenAI's temporary keys. Its SDKs allow keys with this prefix in browsers."""
MAX_SECRETS = 5000
"""Temporary keys at a time, for all keys together. Each key may have an equal share of them."""
RETRY_S = 60.0


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


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A temporary key."""

    value: str
    expires_at: int
    """In Unix seconds."""


@dataclass(frozen=True, slots=True)
class _StoredSecret:
    digest: bytes
    expires_at: float
    """In seconds of the clock of `ClientSecrets`."""
    credential: Credential


class ClientSecrets:
    """Temporary keys, kept in memory until they expire.

    Args:
        now: a monotonic clock in seconds.
        max_secrets: how many may exist at a time.
        owners: number of keys that they are made with; each may have an equal share.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, max_secrets: int = MAX_SECRETS, owners: int = 1
    ) -> None:
        self._now = now
        self._share = max(1, max_secrets // max(1, owners))
        self._stored: dict[str, _StoredSecret] = {}

    def mint(self, owner: int | None, session: SessionConfig, seconds: int) -> ClientSecret:
        """Return a new temporary key.

        Args:
            owner: number of the key that it is made with.
            session: the initial configuration of its sessions.
            seconds: how long it is valid.

        Raises:
            TooManySecrets: this owner has as many temporary keys as it may have.
        """
        now = self._now()
        self._stored = {name: stored for name, stored in self._stored.items() if stored.expires_at > now}
        if sum(stored.credential.owner == owner for stored in self._stored.values()) >= self._share:
            message = f"Your key has made {self._share} temporary keys that have not expired. Try again later."
            raise TooManySecrets(message, retry_after_s=RETRY_S)
        name = secrets.token_hex(8)
        value = f"{SECRET_PREFIX}{name}{secrets.token_hex(24)}"
        self._stored[name] = _StoredSecret(_digest(value), now + seconds, Credential(owner, session))
        return ClientSecret(value, int(time.time()) + seconds)

    def credential(self, key: str | None) -> Credential | None:
        """Return the credential of a client that sends `key`; None if that is not a valid temporary key."""
        if key is None or not key.startswith(SECRET_PREFIX):
            return None
        # The first part is not secret. It finds the key, as comparing with thousands of keys takes too long.
        stored = self._stored.get(key[len(SECRET_PREFIX) :][:16])
        is_known = stored is not None and hmac.compare_digest(_digest(key), stored.digest)
        return stored.credential if stored and is_known and stored.expires_at > self._now() else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
