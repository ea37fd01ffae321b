"""Untrusted JSON: limits that are checked before it is parsed, and fast decoding of long strings and base64 in it."""

import base64
import binascii
from collections.abc import Iterator
from itertools import accumulate
from typing import TypeVar

from pydantic_core import from_json

MAX_ITEMS = 10_000
"""Maximum length of a list, such as keywords."""
MAX_VALUES = 5 * MAX_ITEMS
"""Maximum number of values in a JSON document."""
MAX_ESCAPES = 4 * 1024 * 1024
"""Maximum number of escapes in a JSON document, plus bytes of slices that are not ASCII. Base64 in MIME's lines has 1.8
million in 64 MB."""

WHITE_SPACE = b" \t\n\r\v\f"
URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
"""Translates the URL alphabet of base64 to the standard one (RFC 4648, section 5)."""
SLICE = 1024 * 1024
"""Characters that are processed at a time, about 3 ms at most, so that other threads can run in between. A multiple of
4, the length of a group in base64."""
MAX_ESCAPE_TAIL = len(r"\u0041") - 1
"""Characters after a backslash in JSON's longest escape: a cut after one of them might split the escape."""

_Text = TypeVar("_Text", str, bytes)


def has_too_many_values(document: str | bytes) -> bool:
    """Return whether JSON has more than `MAX_VALUES` values: 64 MB of `[],` would become gigabytes of lists.

    Commas and brackets in strings count too. Base64 has none.
    """
    if len(document) <= MAX_VALUES:
        return False
    if isinstance(document, str):
        counts = (sum(map(part.count, ",[{")) for part in _slices(document))
    else:
        counts = (sum(map(part.count, b",[{")) for part in _slices(document))
    return any(parts > MAX_VALUES for parts in accumulate(counts))


def has_too_many_escapes(document: bytes) -> bool:
    """Return whether JSON has too many escapes. In 64 MB, only base64 is expected; escapes take four times as long."""
    odd = (part.count(b"\\") if part.isascii() else len(part) for part in _slices(document))
    return sum(odd) > MAX_ESCAPES


def decode_json_string(document: bytes, start: int, end: int) -> bytes:
    """Return the value, as UTF-8, of the JSON string in `document[start:end]`, which excludes its quotes.

    Raises:
        ValueError: it is not a valid JSON string.
    """
    decoded = []
    while start < end:
        stop = min(start + SLICE, end)
        escape = document.rfind(b"\\", stop - MAX_ESCAPE_TAIL, stop) if stop < end else -1
        stop = escape if escape > start else stop
        decoded.append(from_json(b'"' + document[start:stop] + b'"').encode())
        start = stop
    return b"".join(decoded)


def decode_base64(text: str | bytes) -> bytes:
    """Decode base64. White space anywhere, missing padding and the URL alphabet are accepted.

    20 MB take 50 ms, or 100 ms with any of these.

    Raises:
        ValueError: it is not base64.
    """
    encoded = text if isinstance(text, bytes) else b"".join([part.encode("ascii") for part in _slices(text)])
    try:
        return _decode_strict(encoded)
    except binascii.Error:
        return _decode_strict(_normalize(encoded))


def _decode_strict(encoded: bytes) -> bytes:
    """Decode base64 in the standard alphabet, without white space and with padding."""
    if len(encoded) % 4 or encoded.find(b"=", 0, -2) >= 0:  # padding at the end of a part would be accepted
        raise binascii.Error("wrong padding")
    return b"".join([base64.b64decode(part, validate=True) for part in _slices(encoded)])


def _normalize(encoded: bytes) -> bytes:
    """Return base64 in the standard alphabet, without white space and with padding."""
    joined = b"".join([part.translate(URL_ALPHABET, WHITE_SPACE) for part in _slices(encoded)])
    padding = len(joined[-4:]) - len(joined[-4:].rstrip(b"="))
    missing = (padding - len(joined)) % 4 - padding
    if missing < 0:
        raise binascii.Error("wrong padding")
    return b"".join([joined, b"=" * missing])


def _slices(document: _Text) -> Iterator[_Text]:
    return (document[start : start + SLICE] for start in range(0, len(document), SLICE))
