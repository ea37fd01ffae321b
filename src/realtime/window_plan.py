"""Which part of an utterance each step of live text decodes. All positions are frames or samples from its start."""

from dataclasses import dataclass

from src.engine.frames import SAMPLES_PER_FRAME, frames_in, nearest_frames
from src.engine.windowing import Windowing
from src.realtime.chunk_ends import ChunkEnd


@dataclass(frozen=True, slots=True)
class StepWindow:
    """The part of an utterance that one step decodes, in samples from the start of the utterance."""

    start: int
    """The first sample of the left context."""
    stop: int
    """The sample after the right context."""
    skip_frames: int
    """Length of the left context in frames of 80 ms."""
    take_frames: int
    """Length of the chunk in frames. 0: the step only looks at the right context."""
    expected: tuple[int, ...] | None = None
    """The ids of the tokens that the chunk must have to count; None: it counts in any case."""


class WindowPlan:
    """The windows of one utterance: a grid of chunks, or steps as short as the model has time for.

    On the grid a chunk is decoded once its right context is there. If no length of steps is given, the grid is fixed:
    the windows do not depend on how the audio arrived. Steps as long as a chunk or longer are on a grid as well, of
    chunks of that length: their words come sooner and are better than if chunks ended between words. A shorter step
    sees all audio so far, and its chunk ends between words (`ChunkEnds`).

    Args:
        windowing: the lengths of chunks and contexts.
        catch_up_s: the most seconds that one step takes if audio is waiting. 0: one chunk at a time.
    """

    def __init__(self, windowing: Windowing, catch_up_s: float = 0.0) -> None:
        # Sessions ask with all audio that comes; the windowing would work these out each time.
        self._left, self._right = windowing.left_frames, windowing.right_frames
        self._chunk, self._first_chunk = windowing.chunk_frames, windowing.first_frames
        self._max_frames = nearest_frames(catch_up_s)
        self.decoded_frames = 0
        """Frames in the chunks of the steps so far."""
        self.seen_frames = 0
        """Frames up to the end of the last window."""

    def is_on_grid(self, step_s: float | None) -> bool:
        """Return whether steps of this length are chunks of a grid; None: the fixed grid."""
        return step_s is None or nearest_frames(step_s) >= self._chunk

    def due_at(self, step_s: float | None) -> int:
        """Return with how many samples of the utterance its next window is due, while it goes on.

        Args:
            step_s: the shortest step in seconds; None: the fixed grid.
        """
        if step_s is None or self.is_on_grid(step_s):
            return (self.decoded_frames + self._least_chunk(step_s) + self._right) * SAMPLES_PER_FRAME
        return (self.seen_frames + max(1, nearest_frames(step_s))) * SAMPLES_PER_FRAME

    def is_due(self, samples: int, step_s: float | None) -> bool:
        """Return whether an utterance that goes on, with this many samples so far, has a next window."""
        return samples >= self.due_at(step_s)

    def next_on_grid(self, samples: int, ended: bool, step_s: float | None = None) -> StepWindow | None:
        """Return the next window of the grid for an utterance with this many samples; None if it is not due.

        Args:
            samples: the length of the utterance so far.
            ended: whether that is all of it.
            step_s: as for `due_at`.
        """
        take = self._whole_chunks(samples // SAMPLES_PER_FRAME, self._least_chunk(step_s))
        end = (self.decoded_frames + take + self._right) * SAMPLES_PER_FRAME
        if not take and ended:
            return self._last(samples)
        return self._window(take, end) if take else None

    def next_in_time(self, samples: int, ended: bool, end: ChunkEnd) -> StepWindow | None:
        """Return the window with all audio so far, None if the utterance has ended and all of it is decoded.

        Args:
            samples: the length of the utterance so far.
            ended: whether that is all of it.
            end: where the chunk may end.
        """
        frames = samples // SAMPLES_PER_FRAME
        most = self.decoded_frames + max(self._max_frames, self._chunk)
        if frames - self._right > most:  # it catches up
            return self._window(most - self.decoded_frames, (most + self._right) * SAMPLES_PER_FRAME)
        if ended:
            return self._last(samples)
        take = max(0, end.frame - self.decoded_frames)
        return self._window(take, frames * SAMPLES_PER_FRAME, end.expected if take else None)

    def advance(self, window: StepWindow, counts: bool = True) -> None:
        """Go on to the windows after this one. If its chunk does not count, it was only a look."""
        self.decoded_frames += window.take_frames if counts else 0
        self.seen_frames = max(self.seen_frames, window.stop // SAMPLES_PER_FRAME)

    def _least_chunk(self, step_s: float | None) -> int:
        """Return the frames of the next chunk on a grid of steps of this length, at least. The first waits for none."""
        if not self.decoded_frames:
            return self._first_chunk
        return max(self._chunk, nearest_frames(step_s or 0.0))

    def _whole_chunks(self, frames: int, least: int) -> int:
        """Return how many of `frames` the next step takes: `least` and further whole chunks, or 0 if there are not as
        many."""
        spare = frames - self.decoded_frames - self._right - least
        if spare < 0:
            return 0
        return least + max(0, min(spare, self._max_frames - least)) // self._chunk * self._chunk

    def _last(self, samples: int) -> StepWindow | None:
        """Return the window with all that is left of an utterance, None if nothing is."""
        take = frames_in(samples) - self.decoded_frames
        return self._window(take, samples) if take > 0 else None

    def _window(self, take_frames: int, stop: int, expected: tuple[int, ...] | None = None) -> StepWindow:
        skip = min(self.decoded_frames, self._left)
        return StepWindow((self.decoded_frames - skip) * SAMPLES_PER_FRAME, stop, skip, take_frames, expected)
