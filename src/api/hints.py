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
    """Return the known path that `path` was probably meant to be, or None.

    Segments are compared with the last segments of the known paths, beginning at the end of `path`; the first similar
    one decides. So prefixes and versions may be missing, doubled or different. If a client has used a whole address as
    its base URL, what it appended decides.

    Args:
        path: the path of the request.
        known: the known paths; their last segments differ.
        min_similarity: how similar a segment must be; 1 for equal, except for case.
    """
    by_name = {each.rpartition("/")[2]: each for each in known}
    segments = [segment for segment in path.lower().split("/") if segment]
    for segment in reversed(segments[-MAX_SEGMENTS:]):
        if len(segment) <= MAX_SEGMENT_CHARACTERS and (
            names := get_close_matches(segment, by_name, n=1, cutoff=min_similarity)
        ):
            return by_name[names[0]]
    return None
