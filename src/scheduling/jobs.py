"""Jobs: what waits for the model, for whom, and how urgent it is. No clock, no event loop, no I/O.

The order of jobs is one number, the rank: the time a job was enqueued minus the head start of its kind. A late step has
up to `MAX_LATE_S` more. A job can only be overtaken by jobs that come within the difference of two head starts after
it, so nothing starves.
"""

import math
from dataclasses import dataclass
from enum import Enum

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.model import StreamStep


class Kind(Enum):
    """Where a job comes from; the value is its head start in seconds."""

    REALTIME = 2.0
    UPLOAD = 1.0
    CHUNK = 0.0


class Priority(Enum):
    """What the caller asks for; the value is added to the head start, in seconds. Kinds are further apart."""

    HIGH = 0.4
    NORMAL = 0.0
    LOW = -0.4


MAX_LATE_S = 0.4
"""Lateness of a step that counts, in seconds. So lateness orders steps; kinds are further apart."""

HELD_BACK_S = 1e6
"""What the rank of a step that is held back is later, in seconds: it comes after all that are not. The rank of an
upload that goes first is as much earlier."""


@dataclass(eq=False, slots=True)
class Slot:
    """The right of one request to wait."""

    client: str | None = None
    """Whose request or step it is; None if there is no limit on high priority or on steps."""
    held: bool = True
    """Whether it is taken: until its job leaves the queue, or it is released."""
    queued: bool = False
    """Whether its job is in the queue."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Audio that is transcribed in one pass."""

    samples: Samples
    keywords: tuple[str, ...] = ()
    """Words and phrases to expect in it."""


@dataclass(eq=False, slots=True)
class Job:
    """A clip or a streaming step that waits for the model. Times are in seconds of the caller's clock."""

    work: Clip | StreamStep
    slot: Slot
    enqueued_at: float
    deadline: float = math.inf
    kind: Kind = Kind.UPLOAD
    priority: Priority = Priority.NORMAL
    late_s: float = 0.0
    """How long ago its audio was there when it was enqueued, in seconds; for steps."""
    is_held_back: bool = False
    """Whether the queue holds it back, as a client's other steps come first."""
    goes_first: bool = False
    """Whether it goes before all others, as it has waited for long while clips of sessions were taken."""

    @property
    def is_step(self) -> bool:
        """Whether it is a step, not a clip."""
        return isinstance(self.work, StreamStep)

    @property
    def rank(self) -> float:
        """Its key in the order; the lowest goes first."""
        head_start_s = self.kind.value + self.priority.value + min(max(self.late_s, 0.0), MAX_LATE_S)
        return self.enqueued_at - head_start_s + HELD_BACK_S * (self.is_held_back - self.goes_first)

    @property
    def length(self) -> int:
        """Length of its audio in samples, context included."""
        return len(self.work.samples)

    @property
    def audio_s(self) -> float:
        """Length of its audio in seconds, context included."""
        return self.length / SAMPLE_RATE
