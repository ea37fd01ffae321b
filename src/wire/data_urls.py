"""Data URLs: small files inside JSON and form fields (RFC 2397)."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from src.wire.json_limits import decode_base64

SCHEME = "data:"
MAX_HEAD_CHARS = 200
"""The longest media type with its parameters."""
SLICE = 65_536
"""Characters that are unescaped at a time: each escape takes 100 bytes meanwhile, and other threads run in between."""
ESCAPE_TAIL = len("41")
"""Characters of an escape after its percent sign."""


class DataUrl(NamedTuple):
    """The content of a data URL."""

    media_type: str
    """As it is written, with its parameters; empty if there is none."""
    data: bytes


def decode_data_url(url: str) -> DataUrl:
    """Decode `data:audio/wav;base64,UklGR...`, or one whose data are escaped as in other URLs.

    Base64 may have line breaks, escapes or the URL alphabet, or lack its padding.

    Raises:
        ValueError: it is not a data URL, or its base64 is not valid.
    """
    url = url.strip()
    if url[: len(SCHEME)].lower() != SCHEME:
        raise ValueError("not a data URL")
    head, comma, body = url[len(SCHEME) :].partition(",")
    if not comma or len(head) > MAX_HEAD_CHARS:
        raise ValueError("a data URL without its comma")
    media_type, semicolon, encoding = head.rpartition(";")
    if semicolon and encoding.strip().lower() == "base64":
        return DataUrl(media_type, decode_base64(_unescaped(body) if "%" in body else body))
    return DataUrl(head, _unescaped(body))


def _unescaped(text: str) -> bytes:
    """Return what `unquote_to_bytes` returns, which is called for slices that split no escape."""
    parts = []
    start = 0
    while start < len(text):
        stop = start + SLICE
        escape = text.rfind("%", stop - ESCAPE_TAIL, stop) if stop < len(text) else -1
        stop = stop if escape < 0 else escape
        parts.append(unquote_to_bytes(text[start:stop]))
        start = stop
    return b"".join(parts)
