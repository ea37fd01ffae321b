"""How much of a text that still grows ends with a whole word."""

import re

_FOLLOWED_BY_SPACE = re.compile(r"[^\w\s]*\s")
"""The rest of a text after a word that is complete: marks at most, then a space."""


def complete_words(text: str, rest: str, at_rest: bool) -> str:
    """Return `text` without its last word if that may still grow.

    Args:
        text: text that stays.
        rest: text that is expected after it, "" if nothing is known.
        at_rest: whether nothing is expected for a while, so that the last word is complete.
    """
    if _FOLLOWED_BY_SPACE.match(rest) or (at_rest and not rest.strip()):
        return text
    if text[-1:].isspace():
        return text
    before = text.rsplit(None, 1)[:-1]
    return before[0] if before else ""
