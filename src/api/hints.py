"""Suggestions for a wrong path."""

from collections.abc import Iterable
from difflib import get_close_matches

MIN_SIMILARITY = 0.65
"""How similar a word must be to a name, by `difflib`'s ratio. It is 0.67 for `transcribe` and `transcriptions`, and
0.61 for `moderations` and `translations`."""
MAX_SEGMENTS = 8
"""Segments of a path that are compared, from its end. A request line may have thousands."""
MAX_SEGMENT_CHARACTERS = 40


def nearest_path(path: str, known: Iterable[str], *, min_similarity: float = MIN_SIMILARITY) -> str | None:
    """Return the path out of `known` that `path` was probably meant to be; None where it is like none of them.

    The last segment counts that is like the last one of a known path. So prefixes and versions may be missing, doubled
    or others than here, and what a client has put behind a whole address that it took for a base URL is what it wants.

    Args:
        path: as it came.
        known: paths whose last segments differ.
        likeness: how like it must be: 1 for the same, but for capitals.
    """
    by_name = {each.rpartition("/")[2]: each for each in known}
    segments = [segment for segment in path.lower().split("/") if segment]
    for segment in reversed(segments[-MAX_SEGMENTS:]):
        if len(segment) <= MAX_SEGMENT_CHARACTERS and (
            names := get_close_matches(segment, by_name, n=1, cutoff=min_similarity)
        ):
            return by_name[names[0]]
    return None
