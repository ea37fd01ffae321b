"""Hot words: phrases that a client expects in its audio, given as keywords or as a prompt that lists them."""

from collections.abc import Sequence

from src.errors import InvalidRequest

MAX_KEYWORDS = 100
MAX_KEYWORD_LENGTH = 100
LISTED_WORDS = 4
"""A prompt whose comma-separated items have at most this many words each is a list of hot words and no prose."""
MOST_LISTED = 1000
"""Items after which the rest of a prompt counts as one, and so as prose: nobody lists more, and to look costs."""


def hot_words(keywords: Sequence[str], prompt: str | None) -> tuple[str, ...]:
    """Return the phrases to listen for, each once: the keywords, or where there are none what the prompt lists.

    Raises:
        InvalidRequest: there are too many, or one is too long.
    """
    words = tuple(dict.fromkeys(keywords or _listed(prompt or "")))
    if len(words) > MAX_KEYWORDS or any(len(word) > MAX_KEYWORD_LENGTH for word in words):
        raise InvalidRequest(
            f"`keywords` takes at most {MAX_KEYWORDS} phrases of at most {MAX_KEYWORD_LENGTH} characters.",
            param="keywords",
        )
    return words


def _listed(prompt: str) -> list[str]:
    """Return the items of a prompt that is a plain list with commas, and nothing of one that is prose."""
    items = [item.strip() for item in prompt.split(",", MOST_LISTED)]
    is_list = len(items) > 1 and all(0 < len(item.split()) <= LISTED_WORDS for item in items)
    return items if is_list and not any(mark in prompt for mark in ".?!:;\n") else []
