"""Which frames of its window a streaming step decodes. This module does not need torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from src.engine.frames import frames_in
from src.engine.model import StreamStep

Part = Literal["chunk", "lookahead", "whole"]
"""The frames whose state goes on to the next step; those after them; all frames of the window, decoded by themselves.
"""


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """Frames of a window that are decoded in one go; there is at least one."""

    step: int
    """The number of the step in its batch."""
    part: Part
    first: int
    """The number of the first frame, counted from the start of the window."""
    frames: int


def spans_at_once(steps: Sequence[StreamStep]) -> list[FrameSpan]:
    """Return what each step can decode from the state that it has: its chunk, or its lookahead if its chunk is empty.

    A step without frames for either has no span.
    """
    return [spans[0] for spans in map(_spans, range(len(steps)), steps) if spans]


def spans_after(steps: Sequence[StreamStep]) -> list[list[FrameSpan]]:
    """Return the lookaheads that begin where a chunk ends, and the whole windows that were asked for.

    They come in groups of no more spans than there are steps, because the decoder's graphs are for so many.
    """
    spans = [span for number, step in enumerate(steps) for span in _spans(number, step)[1:]]
    spans += [
        FrameSpan(number, "whole", 0, frames)
        for number, step in enumerate(steps)
        if step.whole and (frames := frames_in(len(step.samples)))
    ]
    return [spans[start : start + len(steps)] for start in range(0, len(spans), len(steps))]


def _spans(number: int, step: StreamStep) -> list[FrameSpan]:
    """Return the chunk and the lookahead of a step, without one that has no frames."""
    frames = frames_in(len(step.samples)) - step.skip_frames
    chunk = max(0, min(step.take_frames, frames))
    lookahead = max(0, frames - chunk) if step.lookahead else 0
    spans = [
        FrameSpan(number, "chunk", step.skip_frames, chunk),
        FrameSpan(number, "lookahead", step.skip_frames + chunk, lookahead),
    ]
    return [span for span in spans if span.frames]
