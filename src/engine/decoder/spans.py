"""Which frames of its window a streaming step decodes. This module does not need torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.engine.frames import frames_in
from src.engine.model import StreamStep


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """Frames of a window that are decoded in one go; there is at least one."""

    step: int
    """The number of the step in its batch."""
    first: int
    """The number of the first frame, counted from the start of the window."""
    frames: int
    is_lookahead: bool = False
    """Whether these are the frames after the chunk, and not the chunk."""


def spans_at_once(steps: Sequence[StreamStep]) -> list[FrameSpan]:
    """Return what each step can decode from the state that it has: its chunk, or its lookahead if its chunk is empty.

    A step without frames for either has no span.
    """
    return [spans[0] for spans in map(_spans, range(len(steps)), steps) if spans]


def spans_after(steps: Sequence[StreamStep]) -> list[FrameSpan]:
    """Return the lookaheads that begin where a chunk ends; a step has at most one."""
    return [span for number, step in enumerate(steps) for span in _spans(number, step)[1:]]


def _spans(number: int, step: StreamStep) -> list[FrameSpan]:
    """Return the chunk and the lookahead of a step, without one that has no frames."""
    frames = frames_in(len(step.samples)) - step.skip_frames
    chunk = max(0, min(step.take_frames, frames))
    lookahead = max(0, frames - chunk) if step.lookahead else 0
    spans = [
        FrameSpan(number, step.skip_frames, chunk),
        FrameSpan(number, step.skip_frames + chunk, lookahead, is_lookahead=True),
    ]
    return [span for span in spans if span.frames]
