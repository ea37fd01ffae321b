"""Live text: an utterance decoded window by window while it is still being spoken.

The encoder sees [left context | chunk | right context]. The decoder goes over the chunk's frames and carries its state
from one step to the next, so no text is taken back. Then it goes over the right context too, but what it makes of that
is a hypothesis only, which the next step replaces.
"""

import math
from collections.abc import Sequence
from typing import Any

from src.audio.samples import Samples
from src.engine.frames import FRAME_SECONDS, SAMPLES_PER_FRAME
from src.engine.model import StepResult, StreamStep
from src.engine.windowing import Windowing
from src.realtime.chunk_ends import REST_FRAMES, ChunkEnds
from src.realtime.whole_words import complete_words
from src.realtime.window_plan import StepWindow, WindowPlan
from src.text.growing_text import GrowingText
from src.text.transcript import Token

MAX_HELD_S = 2.0
"""The longest that an incomplete word is held back, in seconds since it began. Text in scripts without spaces has no
ends of words."""
INCOMPLETE = "\ufffd"
"""What stands for bytes that are no character, perhaps not yet."""


class LiveTranscript:
    """The text of one utterance so far, and the next window to decode.

    The caller keeps the samples. For each step it asks for the `next_window`, calls `begin_step`, runs the step on the
    model and passes the result to `finish_step`.

    Args:
        windowing: the lengths of chunks and contexts.
        keywords: keywords of the utterance.
        catch_up_s: if more than a chunk of audio is waiting, one step takes up to this many seconds. That is cheaper,
            but makes the text depend on how the audio arrived. 0: one chunk at a time.
    """

    def __init__(self, windowing: Windowing, keywords: tuple[str, ...] = (), catch_up_s: float = 0.0) -> None:
        self._keywords = keywords
        self._plan = WindowPlan(windowing, catch_up_s)
        self._chunk_ends = ChunkEnds(windowing)
        self._in_flight: StepWindow | None = None
        self._decoder_state: Any = None
        self._tokens: list[Token] = []
        self._decoded = GrowingText()
        self._text = ""
        self._expected_text = ""  # of the tokens and the lookahead

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
        """The text so far: what later tokens cannot change, up to the end of a word, unless that does not come."""
        return self._text

    @property
    def seen_samples(self) -> int:
        """How many samples of the utterance the steps so far have seen."""
        return self._plan.seen_frames * SAMPLES_PER_FRAME

    @property
    def hypothesis(self) -> str:
        """What may follow `text`: the word that is not complete, and the text of the right context."""
        return self._expected_text[len(self._text) :]

    def next_window(self, samples: int, ended: bool = False, step_s: float | None = None) -> StepWindow | None:
        """Return the next window of an utterance with this many 16 kHz samples so far.

        Return None while a step is in flight, until there is more audio, or, if the utterance has `ended`, once all of
        it is decoded.

        Args:
            samples: the length of the utterance so far.
            ended: whether that is all of it.
            step_s: the shortest step in seconds; from the length of a chunk on, the steps are chunks of a grid. None:
                those of a fixed grid, which do not depend on how the audio arrived.
        """
        if self._in_flight is not None or not (ended or self._plan.is_due(samples, step_s)):
            return None
        if self._plan.is_on_grid(step_s):
            return self._plan.next_on_grid(samples, ended, step_s)
        end = self._chunk_ends.next_end(self._plan.decoded_frames, samples // SAMPLES_PER_FRAME)
        return self._plan.next_in_time(samples, ended, end)

    def due_at(self, step_s: float | None = None) -> float:
        """Return with how many samples an utterance that goes on has a next window; infinity while a step is in flight.

        Args:
            step_s: as for `next_window`.
        """
        return math.inf if self._in_flight is not None else self._plan.due_at(step_s)

    def begin_step(self, window: StepWindow, samples: Samples) -> StreamStep:
        """Return the step that decodes the `samples` of a window. It is in flight until it is finished or cancelled."""
        self._in_flight = window
        return StreamStep(
            samples,
            window.skip_frames,
            window.take_frames,
            self._plan.decoded_frames,
            self._decoder_state,
            self._keywords,
            lookahead=True,
        )

    def finish_step(self, result: StepResult) -> str:
        """Add the result of the step in flight. Return what it adds to `text`."""
        if self._in_flight is None:
            raise RuntimeError("no step is in flight")
        window, self._in_flight = self._in_flight, None
        counts = window.expected in (None, tuple(token.id for token in result.tokens))
        self._plan.advance(window, counts)
        if counts:
            self._decoder_state = result.decoder_state
            self._add(result.tokens)
        lookahead = result.lookahead if counts else (*result.tokens, *result.lookahead)
        self._chunk_ends.look(lookahead, self._plan.seen_frames)
        self._expected_text = self._decoded.followed_by(lookahead) if lookahead else self._decoded.text
        return self._extend_text(self._certain_text())

    def cancel_step(self) -> None:
        """Forget the step in flight. Its audio is in the next window again."""
        self._in_flight = None

    def finish(self) -> str:
        """End the text after the last step. Return the rest of it, which was uncertain until now."""
        self._expected_text = self._decoded.text
        return self._extend_text(self._decoded.text)

    def _add(self, tokens: Sequence[Token]) -> None:
        if tokens:
            self._tokens.extend(tokens)
            self._decoded.add(tokens)

    def _certain_text(self) -> str:
        """Return the text of the tokens so far without what later ones may change."""
        text = _certain(self._decoded.text)
        if self._held_s > MAX_HELD_S:
            return text
        return complete_words(text, self._expected_text[len(text) :], self._is_at_rest)

    @property
    def _held_s(self) -> float:
        """Seconds since the last word of the tokens so far began."""
        last_word = self._decoded.last_word
        return self._plan.decoded_frames * FRAME_SECONDS - (last_word[0].start_s if last_word else 0.0)

    @property
    def _is_at_rest(self) -> bool:
        """Whether the last token is followed by so much audio that its word is complete if no other follows."""
        end_s = self._tokens[-1].end_s if self._tokens else 0.0
        return self._plan.seen_frames - end_s / FRAME_SECONDS >= REST_FRAMES

    def _extend_text(self, text: str) -> str:
        delta = text[len(self._text) :]
        self._text += delta
        return delta


def _certain(text: str) -> str:
    """Return a text without the end that later tokens may change: punctuation replaces a space, further bytes complete
    a character."""
    certain = text.rstrip()
    while certain.endswith(INCOMPLETE):
        certain = certain.rstrip(INCOMPLETE).rstrip()
    return certain
