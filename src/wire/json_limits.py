"""What strangers send as text: how large it would be once parsed, and audio written in it."""

import base64
import binascii
from collections.abc import Iterator
from itertools import accumulate
from typing import TypeVar

from pydantic_core import from_json

MAX_ITEMS = 10_000
"""Items of one list, such as keywords; more cannot be meant."""
MAX_VALUES = 5 * MAX_ITEMS
"""Values in one JSON document."""
MAX_ESCAPES = 4 * 1024 * 1024
"""Of one JSON document, and bytes about characters beyond ASCII. Base64 in MIME's lines has 1.8 million in 64 MB."""

WHITE_SPACE = b" \t\n\r\v\f"
URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
"""From base64's second alphabet to its first (RFC 4648, section 5)."""
BLOCK = 1024 * 1024
"""Characters that one step goes over, at most some 3 ms; other threads come in between. A multiple of four."""
LONGEST_ESCAPE = len(r"\u0041") - 1
"""Characters of an escape in JSON that a cut behind one of them would go through."""

_Text = TypeVar("_Text", str, bytes)


def has_too_many_values(document: str | bytes) -> bool:
    """Return whether JSON has more values than any that is meant: 64 MB of `[],` would become gigabytes of lists.

    Commas and brackets within strings count too. Base64 has none.
    """
    if isinstance(document, str):
        counts = (sum(map(piece.count, ",[{")) for piece in _steps(document))
    else:
        counts = (sum(map(piece.count, b",[{")) for piece in _steps(document))
    return any(parts > MAX_VALUES for parts in accumulate(counts))


def has_too_many_escapes(document: bytes) -> bool:
    """Return whether JSON is text, where 64 MB can only be base64: so much with escapes takes four times as long."""
    odd = (piece.count(b"\\") if piece.isascii() else len(piece) for piece in _steps(document))
    return sum(odd) > MAX_ESCAPES


def decode_json_string(document: bytes, start: int, end: int) -> bytes:
    """Return, as UTF-8, the JSON string whose quotes are before `start` and at `end`.

    Raises:
        ValueError: it is no JSON.
    """
    read = []
    while start < end:
        stop = min(start + BLOCK, end)
        escape = document.rfind(b"\\", stop - LONGEST_ESCAPE, stop) if stop < end else -1
        stop = escape if escape > start else stop
        read.append(from_json(b'"' + document[start:stop] + b'"').encode())
        start = stop
    return b"".join(read)


def decode_base64(text: str | bytes) -> bytes:
    """Return what base64 holds; white space anywhere, missing padding and the URL alphabet are no faults.

    20 MB take 50 ms, twice that with faults such as these.

    Raises:
        ValueError: it is no base64.
    """
    encoded = text if isinstance(text, bytes) else b"".join([piece.encode("ascii") for piece in _steps(text)])
    try:
        return _decoded(encoded)
    except binascii.Error:
        return _decoded(_plain(encoded))


def _decoded(encoded: bytes) -> bytes:
    """Decode base64 that has no faults."""
    if len(encoded) % 4 or encoded.find(b"=", 0, -2) >= 0:  # at the end of a piece padding would be taken
        raise binascii.Error("wrong padding")
    return b"".join([base64.b64decode(piece, validate=True) for piece in _steps(encoded)])


def _plain(encoded: bytes) -> bytes:
    """Return base64 in its first alphabet, without white space and with padding."""
    joined = b"".join([piece.translate(URL_ALPHABET, WHITE_SPACE) for piece in _steps(encoded)])
    padding = len(joined[-4:]) - len(joined[-4:].rstrip(b"="))
    missing = (padding - len(joined)) % 4 - padding
    if missing < 0:
        raise binascii.Error("wrong padding")
    return b"".join([joined, b"=" * missing])


def _steps(document: _Text) -> Iterator[_Text]:
    return (document[start : start + BLOCK] for start in range(0, len(document), BLOCK))
