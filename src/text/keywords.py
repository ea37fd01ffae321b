"""Keywords: words and phrases that a client expects in its audio, sent as keywords or listed in a prompt."""

import unicodedata
from collections.abc import Sequence

from src.errors import InvalidRequest
from src.text.unset import none_if_unset

MAX_KEYWORDS = 100
MAX_KEYWORD_LENGTH = 100
MAX_ITEM_WORDS = 4
"""A prompt is a list of keywords and not prose if none of its comma-separated items has more words than this."""
MAX_PROMPT_ITEMS = 1000
"""Only the first items of a prompt are read: nobody lists more, and reading takes time."""
MAX_SPELLINGS = 1000
"""Keywords that differ as they are sent: several may be one keyword, encoded in several ways."""
MAX_PARTS = 4
"""Characters that one letter with its accents is composed of, at most (Unicode's canonical decompositions)."""


def parse_keywords(keywords: Sequence[str], prompt: str | None) -> tuple[str, ...]:
    """Return the keywords of a request, without duplicates: those in `keywords`, or else those that `prompt` lists.

    A prompt is only a hint, so it never raises: keywords in it that are too long or too many are dropped.

    Raises:
        InvalidRequest: there are too many keywords, or one is too long.
    """
    if not any(map(none_if_unset, keywords)):
        return _keywords_of_prompt(none_if_unset(prompt) or "")
    spellings = dict.fromkeys(keywords)
    words: dict[str, None] = {}
    for word in map(_composed, spellings):  # composing takes time, so it ends where a limit is broken
        words[word] = None
        if len(spellings) > MAX_SPELLINGS or len(words) > MAX_KEYWORDS or len(word) > MAX_KEYWORD_LENGTH:
            raise InvalidRequest(
                f"`keywords` takes at most {MAX_KEYWORDS} phrases of at most {MAX_KEYWORD_LENGTH} characters.",
                param="keywords",
            )
    return tuple(words)


def _keywords_of_prompt(prompt: str) -> tuple[str, ...]:
    """Return the items of a prompt that is a comma-separated list, or nothing if it is prose."""
    items = [_composed(item.strip()) for item in prompt.split(",", MAX_PROMPT_ITEMS)[:MAX_PROMPT_ITEMS] if item.strip()]
    is_list = len(items) > 1 and all(len(item.split()) <= MAX_ITEM_WORDS for item in items)
    if not is_list or any(mark in prompt for mark in ".?!:;\u037e\u2026\u00bf\u00a1\n"):
        return ()
    return tuple(dict.fromkeys(item for item in items if len(item) <= MAX_KEYWORD_LENGTH))[:MAX_KEYWORDS]


def _composed(keyword: str) -> str:
    """Return a keyword with one character for each letter with an accent, as models write it: macOS sends two.

    One that is too long even when composed stays as it is: sorting n marks on one letter takes n^2 steps.
    """
    is_too_long = len(keyword) > MAX_PARTS * MAX_KEYWORD_LENGTH
    return keyword if is_too_long else unicodedata.normalize("NFC", keyword)
