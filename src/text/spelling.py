"""Spelling: the text of a token, and a word without the punctuation around it."""

import re

from src.text.transcript import UNKNOWN, WORD_START, Token

QUOTES = '"\u201c\u201d\u201e\u00ab\u00bb()[]{}'
DASHES = "-\u2013\u2014"
_MARKS = ".,?!;:\u2026\u00bf\u00a1"
_EDGE = re.escape(QUOTES + DASHES + _MARKS)
_WORD = re.compile(rf"(?:[-.](?=\d))?[^\s{_EDGE}](?:.*[^\s{_EDGE}])?", re.DOTALL)
DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")


def spelling(token: Token) -> str:
    """Return the text that a token adds, with a space in front if it begins a word."""
    return " \u2047 " if token.piece == UNKNOWN else token.piece.replace(WORD_START, " ")


def strip_marks(written: str) -> str:
    """Return a word without the punctuation around it, or "" if it is only punctuation."""
    match = _WORD.search(written)
    if match is None or not match[0].strip("'\u2019"):
        return ""
    if DOTTED.fullmatch(match[0]) and written.startswith(".", match.end()):
        return f"{match[0]}."
    return match[0]
