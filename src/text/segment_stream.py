"""The segments of a transcript that comes in parts: each as soon as it is final."""

from collections.abc import Iterable, Sequence

from src.text.segments import Segment, segments_of, segments_of_words
from src.text.transcript import Token, Transcript
from src.text.words import Word, words_of

SETTLED_S = 2.0
"""Words that start so long before the last one keep their times and their spelling, whatever comes. The times of a word
depend on when the next ones start, and a mark that stands alone belongs to the word before it."""
ENDLESS_S = 1e9
"""The length of a recording that may go on."""


class SegmentStream:
    """Takes the parts of a transcript in order. All segments together are those of the whole (`segments_of`)."""

    def __init__(self) -> None:
        self._text = ""  # of the words that are in no segment yet
        self._tokens: list[Token] = []  # theirs

    def add(self, text: str, tokens: Iterable[Token]) -> tuple[Segment, ...]:
        """Add the next part, which begins with its space, and return the segments that are final now."""
        self._text += text
        self._tokens.extend(tokens)
        words = words_of(self._transcript, ENDLESS_S)
        segments = _final_segments(words)
        self._keep(words[sum(len(segment.words) for segment in segments) :])
        return segments

    def finish(self, duration_s: float) -> tuple[Segment, ...]:
        """Return the other segments of a recording of `duration_s`."""
        return segments_of(self._transcript, duration_s)

    @property
    def _transcript(self) -> Transcript:
        return Transcript(self._text, tuple(self._tokens))

    def _keep(self, words: Sequence[Word]) -> None:
        """Keep the words that are in no segment yet. Without words the text, marks at most, is kept as it is."""
        if words:
            self._text = " ".join(word.written for word in words)
            self._tokens = [token for word in words for token in word.tokens]


def _final_segments(words: Sequence[Word]) -> tuple[Segment, ...]:
    """Return the segments at the beginning of `words` that stay as they are when more words come."""
    settled = [word for word in words if word.start_s <= words[-1].start_s - SETTLED_S]
    if not settled:
        return ()
    *final, following = segments_of_words(settled)
    # Words of one frame share its time, so they stay together; they have no pause between them.
    while final and final[-1].end_s >= following.start_s:
        following = final.pop()
    return tuple(final)
