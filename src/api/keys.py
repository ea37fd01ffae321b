"""The keys that clients show: those that the operator sets, and temporary ones made from them for browsers.

A key is compared by `hmac.compare_digest`, with every key there is, so that the time it takes tells nothing.
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
"""What OpenAI's temporary keys begin with; its SDKs allow them in browsers by it."""
MAX_SECRETS = 5000
RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Credential:
    """Who a client is: the number of its key, or None where no keys are set, and what a temporary key carries."""

    owner: int | None = None
    session: SessionConfig | None = None
    """What sessions begin with, where the key is a temporary one."""


ANONYMOUS = Credential()


class ApiKeys:
    """The keys that the operator has set.

    Args:
        keys: them; with none, everybody is let in.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(map(_digest, keys))

    def credential(self, key: str | None) -> Credential:
        """Return who shows `key`, None where a client shows none.

        Raises:
            InvalidApiKey: it is not one of the keys, and one is needed.
        """
        if not self._digests:
            return ANONYMOUS
        if key is None:
            raise InvalidApiKey("This server needs an API key. Send it as the header `Authorization: Bearer KEY`.")
        shown = _digest(key)
        matches = [hmac.compare_digest(shown, digest) for digest in self._digests]
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
class _Kept:
    digest: bytes
    expires: float
    credential: Credential


class ClientSecrets:
    """Temporary keys, kept in memory until they expire.

    Args:
        now: a clock in seconds that is never set back.
        most: how many are kept.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, most: int = MAX_SECRETS) -> None:
        self._now = now
        self._most = most
        self._kept: dict[str, _Kept] = {}

    def mint(self, owner: int | None, session: SessionConfig, seconds: int) -> ClientSecret:
        """Return a new key of an owner for sessions of this kind, which is valid for so many seconds.

        Raises:
            TooManySecrets: there is no room for one more.
        """
        now = self._now()
        self._kept = {name: kept for name, kept in self._kept.items() if kept.expires > now}
        if len(self._kept) >= self._most:
            message = f"There are {self._most} temporary keys already. Try again later."
            raise TooManySecrets(message, retry_after_s=RETRY_S)
        name = secrets.token_hex(8)
        value = f"{SECRET_PREFIX}{name}{secrets.token_hex(24)}"
        self._kept[name] = _Kept(_digest(value), now + seconds, Credential(owner, session))
        return ClientSecret(value, int(time.time()) + seconds)

    def credential(self, key: str | None) -> Credential | None:
        """Return who shows a temporary key; None where `key` is none, or has expired."""
        if key is None or not key.startswith(SECRET_PREFIX):
            return None
        # Found by its first part, which is no secret: to compare it with all of them would take longer and longer.
        kept = self._kept.get(key[len(SECRET_PREFIX) :][:16])
        is_known = kept is not None and hmac.compare_digest(_digest(key), kept.digest)
        return kept.credential if kept and is_known and kept.expires > self._now() else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
