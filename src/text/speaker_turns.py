"""Segments by speaker: cut where the speaker changes, so that each has one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from src.text.segments import Segment, segment_of
from src.text.words import Word

FIRST_SPEAKER = "A"
"""OpenAI's name for the first speaker that has none."""

Labeller = Callable[[Sequence[Word]], Sequence[str]]
"""Returns who says each of the words."""


def by_speaker(segments: Sequence[Segment], label: Labeller | None) -> tuple[Segment, ...]:
    """Return segments cut where the speaker changes, each with its speaker.

    All together still have all words and tokens. A segment without words, marks alone, is the first speaker's.

    Args:
        segments: segments in order, with times from the start of the recording.
        label: called once, with all their words; None if nobody asks who speaks: the segments stay as they are.
    """
    if label is None:
        return tuple(segments)
    words = [word for segment in segments for word in segment.words]
    speakers = iter(label(words)) if words else iter(())
    return tuple(part for segment in segments for part in _parts(segment, speakers))


def _parts(segment: Segment, speakers: Iterator[str]) -> Iterator[Segment]:
    """Yield the parts of a segment, taking the speakers of its words."""
    if not segment.words:
        yield replace(segment, speaker=FIRST_SPEAKER)
        return
    labelled = [(next(speakers, FIRST_SPEAKER), word) for word in segment.words]
    for speaker, group in groupby(labelled, key=lambda pair: pair[0]):
        yield segment_of([word for _, word in group], speaker)
