"""Data URLs: small files inside JSON and form fields (RFC 2397)."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from src.wire.json_limits import decode_base64

SCHEME = "data:"
MAX_HEAD_CHARS = 200
"""The longest media type with its parameters."""


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
        return DataUrl(media_type, decode_base64(unquote_to_bytes(body) if "%" in body else body))
    return DataUrl(head, unquote_to_bytes(body))
