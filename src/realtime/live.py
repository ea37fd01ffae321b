"""Live text: an utterance decoded window by window while it is still being spoken.

The encoder sees [left context | chunk | right context]. The decoder goes over the chunk's frames only and carries its
state from one step to the next, so no frame is decoded twice and no text is taken back. The grid of chunks begins with
the utterance, so the text does not depend on how its audio arrived.
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
"""The end of a text that later tokens may change: punctuation replaces a space, further bytes complete a character."""


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
    """Length of the chunk in frames."""


class LiveTranscript:
    """The text of one utterance so far, and the next window to decode.

    The caller keeps the samples. For each step it asks for the `next_window`, calls `begin_step`, runs the step on the
    model and passes the result to `finish_step`.

    Args:
        windowing: the lengths of chunks and contexts.
        keywords: keywords of the utterance.
        catch_up_s: if more than a chunk of audio is waiting, one step takes up to this many seconds, in whole chunks.
            That is cheaper, but makes the text depend on how the audio arrived. 0: one chunk at a time.
    """

    def __init__(self, windowing: Windowing, keywords: tuple[str, ...] = (), catch_up_s: float = 0.0) -> None:
        self._windowing = windowing
        self._keywords = keywords
        self._max_frames = nearest_frames(catch_up_s)
        self._decoded_frames = 0
        self._in_flight: StepWindow | None = None
        self._decoder_state: Any = None
        self._tokens: list[Token] = []
        self._text = ""

    @property
    def token_count(self) -> int:
        """The number of tokens so far."""
        return len(self._tokens)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens so far, with times from the start of the utterance."""
        return tuple(self._tokens)

    @property
    def text(self) -> str:
        """The text so far, without what later tokens may change."""
        return self._text

    def next_window(self, samples: int, ended: bool = False) -> StepWindow | None:
        """Return the next window of an utterance with this many 16 kHz samples so far.

        Return None while a step is in flight, until there is more audio, or, if the utterance has `ended`, once all of
        it is decoded.
        """
        if self._in_flight is not None:
            return None
        take = self._whole_chunks(samples // SAMPLES_PER_FRAME)
        end = (self._decoded_frames + take + self._windowing.right_frames) * SAMPLES_PER_FRAME
        if not take and ended:
            take, end = max(0, frames_in(samples) - self._decoded_frames), samples
        return self._window(take, end) if take else None

    def begin_step(self, window: StepWindow, samples: Samples) -> StreamStep:
        """Return the step that decodes the `samples` of a window. It is in flight until it is finished or cancelled."""
        self._in_flight = window
        return StreamStep(
            samples, window.skip_frames, window.take_frames, self._decoded_frames, self._decoder_state, self._keywords
        )

    def finish_step(self, result: StepResult) -> str:
        """Add the result of the step in flight. Return what it adds to `text`."""
        if self._in_flight is None:
            raise RuntimeError("no step is in flight")
        self._decoded_frames += self._in_flight.take_frames
        self._in_flight = None
        self._decoder_state = result.decoder_state
        self._tokens.extend(result.tokens)
        return self._extend_text(_UNCERTAIN.sub("", text_of(self._tokens)))

    def cancel_step(self) -> None:
        """Forget the step in flight. Its window is the next one again."""
        self._in_flight = None

    def finish(self) -> str:
        """End the text after the last step. Return the rest of it, which was uncertain until now."""
        return self._extend_text(text_of(self._tokens))

    def _whole_chunks(self, frames: int) -> int:
        """Return how many of `frames` the next step takes: whole chunks, or 0 if none is complete."""
        chunk = self._windowing.chunk_frames
        first = chunk if self._decoded_frames else self._windowing.first_frames
        spare = frames - self._decoded_frames - self._windowing.right_frames - first
        if spare < 0:
            return 0
        return first + max(0, min(spare, self._max_frames - first)) // chunk * chunk

    def _window(self, take_frames: int, stop: int) -> StepWindow:
        skip = min(self._decoded_frames, self._windowing.left_frames)
        return StepWindow((self._decoded_frames - skip) * SAMPLES_PER_FRAME, stop, skip, take_frames)

    def _extend_text(self, text: str) -> str:
        delta = text[len(self._text) :]
        self._text += delta
        return delta
