"""Live text: an utterance decoded window by window while it is still being spoken.

The encoder sees [left context | chunk | right context]; the decoder goes over the chunk's frames only, with its state
carried from one step to the next, so no frame is decoded twice and nothing that was said is taken back. The grid of
chunks begins with the utterance, so the text does not depend on how its audio arrived.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.asr.attention import FEATURES_PER_FRAME, SAMPLES_PER_FEATURE
from src.asr.transcript import Token, text_of
from src.audio.decode import SAMPLE_RATE
from src.settings import Settings

SAMPLES_PER_FRAME = SAMPLES_PER_FEATURE * FEATURES_PER_FRAME

FIRST_EXTRA_S = 0.48
"""How much longer an utterance's first chunk is than the others.

Features are normalised over the window, and over the first moments alone they come out wrong: with the bundled model
3.1 % of the words in live text were others than in the clip's own text, with this 2.5 %.
"""

_UNCERTAIN = re.compile(r"[\s\ufffd]+\Z")
"""What a later token may still change at a text's end: a space gives way to a mark, bytes become a character."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One window of a stream for the model, with what the model remembers of the stream so far."""

    samples: NDArray[np.float32]
    """(samples,) float32 at 16 kHz: left context, chunk, right context. It begins with a frame of the stream."""
    skip_frames: int
    """Frames of 80 ms that the left context has."""
    take_frames: int
    """Frames that the chunk has; those that the window does not have are not missed."""
    start_frame: int
    """The number of the chunk's first frame in the stream."""
    memory: Any = None
    """`Heard.memory` of the step before, None for a stream's first. Only the model's own thread looks into it."""
    boosts: tuple[str, ...] = ()
    """Hot words, the same for all steps of a stream."""

    @property
    def end_s(self) -> float:
        """Where in the stream the window ends, in seconds."""
        return ((self.start_frame - self.skip_frames) * SAMPLES_PER_FRAME + len(self.samples)) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What the model heard in the chunk of a step."""

    tokens: tuple[Token, ...]
    """Their times are seconds from the start of the stream."""
    memory: Any
    """For the next `Step`; of no use to any other stream."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of an utterance the next step takes."""

    start: int
    """The first sample of the left context."""
    stop: int
    """The sample after the right context."""
    skip_frames: int
    """Frames of 80 ms that the left context has."""
    take_frames: int
    """Frames that the chunk has."""


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
    def of(cls, settings: Settings) -> "Windowing":
        """Return how the settings want it."""
        return cls(settings.realtime_left_s, settings.realtime_chunk_s, settings.realtime_right_s)

    @property
    def left_frames(self) -> int:
        """The left context in frames."""
        return _frames(self.left_s)

    @property
    def right_frames(self) -> int:
        """The right context in frames."""
        return _frames(self.right_s)

    @property
    def chunk_frames(self) -> int:
        """A chunk in frames, one at least."""
        return max(1, _frames(self.chunk_s))

    @property
    def first_frames(self) -> int:
        """An utterance's first chunk in frames."""
        return self.chunk_frames + _frames(FIRST_EXTRA_S)

    @property
    def window_frames(self) -> tuple[int, ...]:
        """The lengths that an utterance's windows have in frames, ascending, each once.

        Only its last, and those that catch up with more than a chunk, have others.
        """
        lefts = (*range(self.first_frames, self.left_frames, self.chunk_frames), self.left_frames)
        later = (left + self.chunk_frames + self.right_frames for left in lefts)
        return tuple(sorted({self.first_frames + self.right_frames, *later}))


class LiveTranscript:
    """One utterance on its way: which step comes next, and the text that has become certain.

    The caller keeps the samples. It asks for `next_step`, has the model `advance` by the `step`, and gives what that
    returns to `add`, one step at a time.

    Args:
        windowing: how to cut.
        boosts: hot words.
        catch_up_s: where so much more audio than a chunk is waiting, one step takes up to this many seconds in whole
            chunks. That is cheaper, but makes the text depend on how the audio arrived. 0: one chunk at a time.
    """

    def __init__(self, windowing: Windowing, boosts: tuple[str, ...] = (), catch_up_s: float = 0.0) -> None:
        self._windowing = windowing
        self._boosts = boosts
        self._most_frames = _frames(catch_up_s)
        self._taken_frames = 0
        self._under_way: Window | None = None
        self._memory: Any = None
        self._tokens: list[Token] = []
        self._text = ""

    @property
    def token_count(self) -> int:
        """How many tokens have been heard so far."""
        return len(self._tokens)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """What has been heard so far, with times from the start of the utterance."""
        return tuple(self._tokens)

    @property
    def text(self) -> str:
        """What has been given out so far."""
        return self._text

    def next_step(self, samples: int, ended: bool = False) -> Window | None:
        """Return what to decode next of an utterance of which so many samples at 16 kHz are there.

        None means that more must come first, that the step before is still under way, or, if the utterance has `ended`,
        that all of it is decoded.
        """
        if self._under_way is not None:
            return None
        take = self._whole_chunks(samples // SAMPLES_PER_FRAME)
        end = (self._taken_frames + take + self._windowing.right_frames) * SAMPLES_PER_FRAME
        if not take and ended:
            take, end = max(0, frames_in(samples) - self._taken_frames), samples
        return self._window(take, end) if take else None

    def step(self, window: Window, samples: NDArray[np.float32]) -> Step:
        """Return the step that decodes a window, which has these `samples`, and count it as under way."""
        self._under_way = window
        return Step(samples, window.skip_frames, window.take_frames, self._taken_frames, self._memory, self._boosts)

    def add(self, heard: Heard) -> str:
        """Take in what the step under way has found and return what to append to the text given out so far.

        It leaves out what later tokens may still change.
        """
        if self._under_way is None:
            raise RuntimeError("no step is under way")
        self._taken_frames += self._under_way.take_frames
        self._under_way = None
        self._memory = heard.memory
        self._tokens.extend(heard.tokens)
        return self._give_out(_UNCERTAIN.sub("", text_of(self._tokens)))

    def take_back(self) -> None:
        """Forget the step under way, which came to nothing; what it was for is still to do."""
        self._under_way = None

    def finish(self) -> str:
        """Return the rest of the text, after the last step; all that was given out is then the text of the tokens."""
        return self._give_out(text_of(self._tokens))

    def _whole_chunks(self, frames: int) -> int:
        """Return how many frames the next step takes where so many are there, 0 if a chunk is not complete."""
        chunk = self._windowing.chunk_frames
        first = chunk if self._taken_frames else self._windowing.first_frames
        spare = frames - self._taken_frames - self._windowing.right_frames - first
        if spare < 0:
            return 0
        return first + max(0, min(spare, self._most_frames - first)) // chunk * chunk

    def _window(self, take_frames: int, stop: int) -> Window:
        skip = min(self._taken_frames, self._windowing.left_frames)
        return Window((self._taken_frames - skip) * SAMPLES_PER_FRAME, stop, skip, take_frames)

    def _give_out(self, text: str) -> str:
        delta = text[len(self._text) :]
        self._text += delta
        return delta


def frames_in(samples: int) -> int:
    """Return how many frames the encoder makes of so many samples at 16 kHz: the last may be partly empty."""
    return math.ceil(samples // SAMPLES_PER_FEATURE / FEATURES_PER_FRAME)


def _frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE / SAMPLES_PER_FRAME)
