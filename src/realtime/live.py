"""Live text: an utterance decoded window by window while it is still being spoken.

The encoder sees [left context | chunk | right context]; the decoder goes over the chunk's frames only, with its state
carried from one step to the next, so no frame is decoded twice and nothing that was said is taken back. The grid of
chunks begins with the utterance, so the text does not depend on how its audio arrived.
"""

import re
from dataclasses import dataclass
from typing import Any

from src.audio.samples import Samples
from src.engine.frames import SAMPLES_PER_FRAME, frames_in, nearest_frames
from src.engine.model import StepResult, StreamStep
from src.engine.windowing import Windowing
from src.text.transcript import Token, text_of

_UNCERTAIN = re.compile(r"[\s\ufffd]+\Z")
"""What a later token may still change at a text's end: a space gives way to a mark, bytes become a character."""


@dataclass(frozen=True, slots=True)
class StepWindow:
    """Which part of an utterance the next step takes."""

    start: int
    """The first sample of the left context."""
    stop: int
    """The sample after the right context."""
    skip_frames: int
    """Frames of 80 ms that the left context has."""
    take_frames: int
    """Frames that the chunk has."""


class LiveTranscript:
    """One utterance on its way: which step comes next, and the text that has become certain.

    The caller keeps the samples. It asks for `next_window`, has the model `advance` by the `step`, and gives what that
    returns to `add`, one step at a time.

    Args:
        windowing: how to cut.
        boosts: hot words.
        catch_up_s: where so much more audio than a chunk is waiting, one step takes up to this many seconds in whole
            chunks. That is cheaper, but makes the text depend on how the audio arrived. 0: one chunk at a time.
    """

    def __init__(self, windowing: Windowing, keywords: tuple[str, ...] = (), catch_up_s: float = 0.0) -> None:
        self._windowing = windowing
        self._keywords = keywords
        self._most_frames = nearest_frames(catch_up_s)
        self._taken_frames = 0
        self._under_way: StepWindow | None = None
        self._decoder_state: Any = None
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

    def next_window(self, samples: int, ended: bool = False) -> StepWindow | None:
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

    def begin_step(self, window: StepWindow, samples: Samples) -> StreamStep:
        """Return the step that decodes a window, which has these `samples`, and count it as under way."""
        self._under_way = window
        return StreamStep(
            samples, window.skip_frames, window.take_frames, self._taken_frames, self._decoder_state, self._keywords
        )

    def finish_step(self, result: StepResult) -> str:
        """Take in what the step under way has found and return what to append to the text given out so far.

        It leaves out what later tokens may still change.
        """
        if self._under_way is None:
            raise RuntimeError("no step is under way")
        self._taken_frames += self._under_way.take_frames
        self._under_way = None
        self._decoder_state = result.decoder_state
        self._tokens.extend(result.tokens)
        return self._give_out(_UNCERTAIN.sub("", text_of(self._tokens)))

    def cancel_step(self) -> None:
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

    def _window(self, take_frames: int, stop: int) -> StepWindow:
        skip = min(self._taken_frames, self._windowing.left_frames)
        return StepWindow((self._taken_frames - skip) * SAMPLES_PER_FRAME, stop, skip, take_frames)

    def _give_out(self, text: str) -> str:
        delta = text[len(self._text) :]
        self._text += delta
        return delta
