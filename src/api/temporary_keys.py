"""Temporary keys for browsers. They are signed and stored nowhere, so that every replica knows those of the others.

A temporary key is `ek_CLAIMS.SIGNATURE`. The claims are compressed JSON in base64url: when the key expires, the digest
of the API key that made it, and the settings with which its sessions begin. The signature is an HMAC-SHA256 of the
claims as they are written. All characters are those of a token (RFC 7230, 3.2.6), so that a key can be a subprotocol of
a WebSocket, and none needs an escape in an address.
"""

import binascii
import hashlib
import hmac
import secrets
import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from src.api.keys import Credential
from src.errors import InvalidRequest
from src.realtime.config import SessionConfig

SECRET_PREFIX = "ek_"
"""Prefix of OpenAI's temporary keys. Its SDKs allow keys with this prefix in browsers."""
MAX_CHARS = 7 * 1024
"""Length of a temporary key. It is in one header with the names of subprotocols. nginx (`large_client_header_buffers`)
and websockets take headers of 8 KiB, HAProxy (`tune.bufsize`) 15 KiB for all of them together."""
MAX_CLAIMS_BYTES = 64 * 1024
"""Size of the claims before they are compressed."""
MAX_LIFETIME_S = 7200
"""How long a temporary key may be valid, in seconds."""
MAX_AHEAD_S = 300
"""How far the clock of the process that makes a key may be ahead of that of the process that checks it, in seconds."""
LABEL = b"parakeet temporary key 1"
"""Sets signatures of temporary keys apart from all else that the same secret may sign, and from other claims."""
DERIVATION_ROUNDS = 100_000
"""Who has a temporary key can try secrets and API keys on it. Each try takes so many rounds of HMAC-SHA256."""


@dataclass(frozen=True, slots=True)
class TemporaryKey:
    """A temporary key."""

    value: str
    expires_at: int
    """In Unix seconds. From then on the key is not valid."""


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a temporary key says."""

    expires_at: int
    parent: str | None
    """Digest of the API key that made it; None if there were no keys."""
    session: SessionConfig
    nonce: str
    """Makes each key another one."""


_CLAIMS = TypeAdapter(_Claims)


class TemporaryKeys:
    """Makes temporary keys, and knows those that other processes with the same secret and API keys have made.

    A process decides by its own clock, without leeway, whether a key has expired: where the clock is late, keys live
    for as much longer. A key is valid at once also if its maker's clock is ahead, by up to `MAX_AHEAD_S` seconds.

    Args:
        api_keys: the keys that temporary keys are made with. One that is removed takes its temporary keys with it.
        secret: signs temporary keys. If it is empty, a key that is derived from all of `api_keys` does, so that
            temporary keys end when any of these changes. Without API keys too, a random one does: temporary keys are
            valid in this process only, and end with it. Then, however, every client is accepted with any key; what it
            loses with a temporary key of another process is the settings in it.
        now: the time in Unix seconds.
    """

    def __init__(self, api_keys: Sequence[str] = (), secret: str = "", now: Callable[[], float] = time.time) -> None:
        self._signing_key = _signing_key(api_keys, secret)
        self._now = now
        self._parents = [self._signed(f"parent {key}".encode()).hex() for key in api_keys]
        self._owners: dict[str | None, int | None] = {parent: owner for owner, parent in enumerate(self._parents)}
        if not api_keys:
            self._owners[None] = None

    def mint(self, owner: int | None, session: SessionConfig, seconds: int) -> TemporaryKey:
        """Return a new temporary key.

        Args:
            owner: number of the API key that it is made with; None if there are no keys.
            session: the initial configuration of its sessions.
            seconds: how long it is valid, at most `MAX_LIFETIME_S`.

        Raises:
            InvalidRequest: the configuration is too long for a key, or has text that is not Unicode.
        """
        expires_at = int(self._now()) + seconds
        parent = None if owner is None else self._parents[owner]
        claims = _json(_Claims(expires_at, parent, session, secrets.token_hex(8)))
        written = _to_base64(zlib.compress(claims, 9))
        value = f"{SECRET_PREFIX}{written}.{self._signature(written)}"
        if len(value) > MAX_CHARS or len(claims) > MAX_CLAIMS_BYTES:
            raise InvalidRequest(
                f"The session's settings are too long for a temporary key, which may have {MAX_CHARS} characters as it "
                "has to fit in a header. Shorten the prompt or the keywords, or send them in a `session.update` once "
                "the session is open.",
                param="session",
            )
        return TemporaryKey(value, expires_at)

    def credential(self, key: str | None) -> Credential | None:
        """Return the credential of a client that sends `key`; None if that is not a valid temporary key."""
        if key is None or not key.startswith(SECRET_PREFIX) or len(key) > MAX_CHARS:
            return None
        written, _, signature = key.removeprefix(SECRET_PREFIX).partition(".")
        # Nothing that a stranger has written is inflated or parsed.
        if not hmac.compare_digest(signature.encode(), self._signature(written).encode()):
            return None
        claims = _read(written)
        if claims is None or claims.parent not in self._owners or not self._is_time(claims.expires_at):
            return None
        return Credential(self._owners[claims.parent], claims.session)

    def _is_time(self, expires_at: int) -> bool:
        return 0 < expires_at - self._now() <= MAX_LIFETIME_S + MAX_AHEAD_S

    def _signature(self, written: str) -> str:
        return _to_base64(self._signed(written.encode()))

    def _signed(self, data: bytes) -> bytes:
        return hmac.digest(self._signing_key, data, "sha256")


def _signing_key(api_keys: Sequence[str], secret: str) -> bytes:
    """Return the key that signs: derived from the secret or from the API keys in any order, or else random."""
    if secret:
        source = f"secret {secret}"
    elif api_keys:
        source = " ".join(["keys", *sorted(api_keys)])
    else:
        return secrets.token_bytes(32)
    return hashlib.pbkdf2_hmac("sha256", source.encode(), LABEL, DERIVATION_ROUNDS)


def _json(claims: _Claims) -> bytes:
    try:
        return _CLAIMS.dump_json(claims, exclude_unset=True)
    except PydanticSerializationError:
        message = "A text in the session's settings has half of a surrogate pair, which is no character."
        raise InvalidRequest(message, param="session") from None


def _read(written: str) -> _Claims | None:
    """Return the claims of a key whose signature is right; None if another version has made them."""
    try:
        inflater = zlib.decompressobj()
        claims = inflater.decompress(_from_base64(written), MAX_CLAIMS_BYTES)
        return _CLAIMS.validate_json(claims) if inflater.eof else None
    except (binascii.Error, zlib.error, ValidationError):
        return None


def _to_base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
