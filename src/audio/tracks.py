"""Which of a file's audio tracks is the one to hear."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Track:
    """What a file says of one of its audio tracks."""

    index: int
    """Of the stream in the file."""
    channels: int
    """0 where the file does not say."""
    is_default: bool = False
    is_additional: bool = False
    """Whether it is for some listeners: a commentary, a description of the pictures, a mix for the hard of hearing."""


def by_preference(tracks: Iterable[Track]) -> list[Track]:
    """Return tracks as players prefer them: those for everybody, the default, those with more channels, the first."""
    return sorted(tracks, key=lambda each: (each.is_additional, not each.is_default, -each.channels, each.index))
