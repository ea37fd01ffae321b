"""Documents that strangers send: how large they would be once parsed."""

MOST_PARTS = 50_000
"""Values in one JSON document: five times the most keywords that a session may list."""


def has_too_many_parts(document: str | bytes) -> bool:
    """Return whether JSON has more values than any that is meant: 64 MB of `[],` would become gigabytes of lists.

    Commas and brackets within strings count too. Base64 has none.
    """
    if isinstance(document, str):
        return sum(map(document.count, ",[{")) > MOST_PARTS
    return sum(map(document.count, (b",", b"[", b"{"))) > MOST_PARTS
