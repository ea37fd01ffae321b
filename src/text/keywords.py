"""Hot words: phrases that a client expects in its audio, given as keywords or as a prompt that lists them."""

from collections.abc import Sequence

from src.errors import InvalidRequest
from src.text.unset import none_if_unset

MAX_KEYWORDS = 100
MAX_KEYWORD_LENGTH = 100
LISTED_WORDS = 4
"""A prompt whose comma-separated items have at most this many words each is a list of hot words and no prose."""
MAX_LISTED = 1000
"""Items of a prompt that are looked at: nobody lists more, and to look costs."""


def parse_keywords(keywords: Sequence[str], prompt: str | None) -> tuple[str, ...]:
    """Return the phrases to listen for, each once: the keywords, or where none is given what the prompt lists.

    A prompt is a hint: of its phrases those are taken that are not too long, as many as may be.

    Raises:
        InvalidRequest: there are too many keywords, or one is too long.
    """
    if not any(map(none_if_unset, keywords)):
        return _listed(none_if_unset(prompt) or "")
    words = tuple(dict.fromkeys(keywords))
    if len(words) > MAX_KEYWORDS or any(len(word) > MAX_KEYWORD_LENGTH for word in words):
        raise InvalidRequest(
            f"`keywords` takes at most {MAX_KEYWORDS} phrases of at most {MAX_KEYWORD_LENGTH} characters.",
            param="keywords",
        )
    return words


def _listed(prompt: str) -> tuple[str, ...]:
    """Return phrases of a prompt that is a plain list with commas, and nothing of one that is prose."""
    items = [item.strip() for item in prompt.split(",", MAX_LISTED)[:MAX_LISTED] if item.strip()]
    is_list = len(items) > 1 and all(len(item.split()) <= LISTED_WORDS for item in items)
    if not is_list or any(mark in prompt for mark in ".?!:;\n"):
        return ()
    return tuple(dict.fromkeys(item for item in items if len(item) <= MAX_KEYWORD_LENGTH))[:MAX_KEYWORDS]
