"""What strangers send as text: when it means nothing, how large it would be once parsed, and audio written in it."""

import base64
import binascii

MOST_ITEMS = 10_000
"""Items of one list, such as keywords; more cannot be meant."""
MOST_PARTS = 5 * MOST_ITEMS
"""Values in one JSON document."""
MOST_ESCAPES = 4 * 1024 * 1024
"""Of one JSON document, and bytes about characters beyond ASCII. Base64 in MIME's lines has 1.8 million in 64 MB."""
UNSET = frozenset({"", "null", "none", "undefined", "nil"})
"""What programs write, in lower case, where their user chose nothing: the nothing of their own language as text."""
LONGEST_UNSET = 100
"""Characters of such a value with the white space around it."""

WHITE_SPACE = b" \t\n\r\v\f"
URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
"""From base64's second alphabet to its first (RFC 4648, section 5)."""
PIECE = 1024 * 1024
"""Characters that one step goes over, at most some 3 ms; other threads come in between. A multiple of four."""


def given(value: str | None) -> str | None:
    """Return the value of an optional field, or None where it stands for none: blank, `null`, `None`, `undefined`."""
    is_unset = value is None or (len(value) <= LONGEST_UNSET and value.strip().lower() in UNSET)
    return None if is_unset else value


def has_too_many_parts(document: str | bytes) -> bool:
    """Return whether JSON has more values than any that is meant: 64 MB of `[],` would become gigabytes of lists.

    Commas and brackets within strings count too. Base64 has none.
    """
    parts = 0
    for start in range(0, len(document), PIECE):
        piece = document[start : start + PIECE]
        parts += sum(map(piece.count, ",[{")) if isinstance(piece, str) else sum(map(piece.count, b",[{"))
        if parts > MOST_PARTS:
            return True
    return False


def has_too_many_escapes(document: bytes) -> bool:
    """Return whether JSON is text, where 64 MB can only be base64: so much with escapes takes four times as long."""
    starts = range(0, len(document), PIECE)
    pieces = (document[start : start + PIECE] for start in starts)
    return sum(piece.count(b"\\") if piece.isascii() else len(piece) for piece in pieces) > MOST_ESCAPES


def decode_base64(text: str) -> bytes:
    """Return what base64 holds; white space anywhere, missing padding and the URL alphabet are no faults.

    20 MB take 50 ms, twice that with faults such as these.

    Raises:
        ValueError: it is no base64.
    """
    encoded = text.encode("ascii")
    try:
        return _decoded(encoded)
    except binascii.Error:
        return _decoded(_plain(encoded))


def _decoded(encoded: bytes) -> bytes:
    """Decode base64 that has no faults."""
    if len(encoded) % 4 or encoded.find(b"=", 0, -2) >= 0:  # at the end of a piece padding would be taken
        raise binascii.Error("wrong padding")
    pieces = (encoded[start : start + PIECE] for start in range(0, len(encoded), PIECE))
    return b"".join([base64.b64decode(piece, validate=True) for piece in pieces])


def _plain(encoded: bytes) -> bytes:
    """Return base64 in its first alphabet, without white space and with padding."""
    starts = range(0, len(encoded), PIECE)
    joined = b"".join([encoded[at : at + PIECE].translate(URL_ALPHABET, WHITE_SPACE) for at in starts])
    data = joined.rstrip(b"=")
    missing = -len(data) % 4
    if len(joined) - len(data) > missing:
        raise binascii.Error("wrong padding")
    return data + b"=" * missing
