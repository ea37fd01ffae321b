"""The windows of live text: how much of an utterance the encoder sees in each step.

The encoder sees [left context | chunk | right context]; the decoder processes the chunk's frames only.
"""

from dataclasses import dataclass

from src.engine.frames import nearest_frames
from src.settings import Settings

FIRST_EXTRA_S = 0.48
"""Seconds by which an utterance's first chunk is longer than the others.

Features are normalised over the window, and a short first window normalises them badly. With the bundled model, 3.1 %
of the words of live text differed from the clip's own text without this, 2.5 % with it.
"""

AGREED_RIGHT_S = 0.48
"""Seconds of audio that must follow a word in one step so that the next decodes it, if it hears the same.

`live_bench.py` has what other lengths cost in words and in time.
"""
LONGEST_STEP = 2
"""The longest step that a busy model takes, in chunks."""


@dataclass(frozen=True, slots=True)
class Windowing:
    """How an utterance is cut into windows. Lengths are in seconds and are rounded to frames of 80 ms."""

    left_s: float
    """Audio before a chunk that the encoder sees."""
    chunk_s: float
    """Audio that one step decodes."""
    right_s: float
    """Audio after a chunk that must have arrived before the chunk is decoded."""
    agreed_right_s: float = AGREED_RIGHT_S
    """Audio after a word that the step before has seen too."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "Windowing":
        """Return the windowing that the settings give."""
        return cls(settings.realtime_left_s, settings.realtime_chunk_s, settings.realtime_right_s)

    @property
    def left_frames(self) -> int:
        """Left context in frames."""
        return nearest_frames(self.left_s)

    @property
    def right_frames(self) -> int:
        """Right context in frames."""
        return nearest_frames(self.right_s)

    @property
    def agreed_right_frames(self) -> int:
        """The right context of a word that the step before has seen too, in frames."""
        return nearest_frames(self.agreed_right_s)

    @property
    def chunk_frames(self) -> int:
        """A chunk in frames, at least one."""
        return max(1, nearest_frames(self.chunk_s))

    @property
    def first_frames(self) -> int:
        """An utterance's first chunk in frames."""
        return self.chunk_frames + nearest_frames(FIRST_EXTRA_S)

    @property
    def window_frames(self) -> tuple[int, ...]:
        """The lengths of an utterance's windows in frames, ascending: of steps on the fixed grid, and of shorter ones.

        A step under load is up to `LONGEST_STEP` chunks long. An utterance's last window, windows that catch up with
        more, and the first ones after the load has grown may have other lengths.
        """
        step_frames = LONGEST_STEP * self.chunk_frames
        longest = max(self.first_frames, self.left_frames) + step_frames + self.right_frames
        return tuple(range(1, longest + 1))
