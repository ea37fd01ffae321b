"""Choose which of a file's audio tracks to decode."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Track:
    """What a file says about one of its audio tracks."""

    index: int
    """The index of its stream in the file."""
    channels: int
    """0 if the file does not say."""
    is_default: bool = False
    is_additional: bool = False
    """Whether it is for some listeners only: a commentary, an audio description, a mix for the hard of hearing."""


def by_preference(tracks: Iterable[Track]) -> list[Track]:
    """Sort tracks as players do: those for everybody first, then the default, more channels, the lower index."""
    return sorted(tracks, key=lambda each: (each.is_additional, not each.is_default, -each.channels, each.index))
