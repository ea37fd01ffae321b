"""Whether an optional value was given: what programs write where their user chose nothing stands for none."""

UNSET = frozenset({"", "null", "none", "undefined", "nil"})
"""What programs write, in lower case, where their user chose nothing: the nothing of their own language as text."""
LONGEST_UNSET = 100
"""Characters of such a value with the white space around it."""


def none_if_unset(value: str | None) -> str | None:
    """Return the value of an optional field, or None where it stands for none: blank, `null`, `None`, `undefined`."""
    is_unset = value is None or (len(value) <= LONGEST_UNSET and value.strip().lower() in UNSET)
    return None if is_unset else value
