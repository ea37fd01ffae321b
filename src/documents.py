"""Documents that strangers send: how large they would be once parsed."""

MOST_ITEMS = 10_000
"""Items of one list, such as keywords; more cannot be meant."""
MOST_PARTS = 5 * MOST_ITEMS
"""Values in one JSON document."""


def has_too_many_parts(document: str | bytes) -> bool:
    """Return whether JSON has more values than any that is meant: 64 MB of `[],` would become gigabytes of lists.

    Commas and brackets within strings count too. Base64 has none.
    """
    if isinstance(document, str):
        return sum(map(document.count, ",[{")) > MOST_PARTS
    return sum(map(document.count, (b",", b"[", b"{"))) > MOST_PARTS
