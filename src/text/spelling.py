"""Spelling: the text of a token, and a word without the punctuation around it."""

import re
import unicodedata

from src.text.transcript import UNKNOWN, WORD_START, Token

OPENING = "\u201c\u201e\u201a\u2018\u00ab\u2039\u00bf\u00a1([{"
"""Marks before a word. Some of them are after it in other languages, but then no space is before them."""
QUOTES = '"\u201c\u201d\u201e\u201f\u201a\u2018\u00ab\u00bb\u2039\u203a()[]{}'
DASHES = "-\u2010\u2013\u2014\u2015"
_MARKS = ".,?!;:\u2026\u00bf\u00a1\u00b7\u0387\u037e"
"""The last three are the Greek semicolon, in two codes, and question mark."""
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


def is_opening(written: str) -> bool:
    """Return whether marks that stand alone belong to the word after them."""
    return bool(written) and not written.strip(OPENING)


def readable_length(text: str) -> int:
    """Return how many characters readers see: letters with their accents, however they are encoded."""
    if text.isascii():
        return len(text)
    return sum(unicodedata.category(character) not in ("Mn", "Me", "Cf") for character in text)
