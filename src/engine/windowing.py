"""The windows of live text: how much of an utterance the encoder sees for each step.

The encoder sees [left context | chunk | right context]; the decoder goes over the chunk's frames only.
"""

from dataclasses import dataclass

from src.engine.frames import nearest_frames
from src.settings import Settings

FIRST_EXTRA_S = 0.48
"""How much longer an utterance's first chunk is than the others.

Features are normalised over the window, and over the first moments alone they come out wrong: with the bundled model
3.1 % of the words in live text were others than in the clip's own text, with this 2.5 %.
"""


@dataclass(frozen=True, slots=True)
class Windowing:
    """How an utterance is cut into windows, in seconds, which count as the nearest number of frames of 80 ms."""

    left_s: float
    """What the encoder sees before a chunk."""
    chunk_s: float
    """What one step decodes."""
    right_s: float
    """What must have been spoken after a chunk before it is decoded."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "Windowing":
        """Return how the settings want it."""
        return cls(settings.realtime_left_s, settings.realtime_chunk_s, settings.realtime_right_s)

    @property
    def left_frames(self) -> int:
        """The left context in frames."""
        return nearest_frames(self.left_s)

    @property
    def right_frames(self) -> int:
        """The right context in frames."""
        return nearest_frames(self.right_s)

    @property
    def chunk_frames(self) -> int:
        """A chunk in frames, one at least."""
        return max(1, nearest_frames(self.chunk_s))

    @property
    def first_frames(self) -> int:
        """An utterance's first chunk in frames."""
        return self.chunk_frames + nearest_frames(FIRST_EXTRA_S)

    @property
    def window_frames(self) -> tuple[int, ...]:
        """The lengths that an utterance's windows have in frames, ascending, each once.

        Only its last, and those that catch up with more than a chunk, have others.
        """
        lefts = (*range(self.first_frames, self.left_frames, self.chunk_frames), self.left_frames)
        later = (left + self.chunk_frames + self.right_frames for left in lefts)
        return tuple(sorted({self.first_frames + self.right_frames, *later}))
