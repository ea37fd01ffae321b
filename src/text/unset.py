"""Optional values: many clients send a word such as "null" for a value that their user did not set."""

from typing import TypeVar

T = TypeVar("T")
UNSET = frozenset({"", "null", "none", "undefined", "nil"})
"""How programming languages print a missing value, in lower case."""
MAX_UNSET_LENGTH = 100
"""Characters of such a value, including the white space around it."""


def none_if_unset(value: T | None) -> T | None:
    """Return the value of an optional field, or None if it is text that is blank, `null`, `None`, `undefined` or `nil`.

    A value of another type is what it is.
    """
    is_unset = isinstance(value, str) and len(value) <= MAX_UNSET_LENGTH and value.strip().lower() in UNSET
    return None if is_unset else value
