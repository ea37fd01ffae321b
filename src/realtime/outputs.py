"""What a session puts out: work for the model, what came of it, and notices for the connection."""

from dataclasses import dataclass

from src.engine.model import StepResult, StreamStep
from src.errors import ServiceError
from src.realtime import events
from src.realtime.items import Item
from src.realtime.live import LiveTranscript
from src.text.transcript import Transcript


@dataclass(frozen=True, eq=False, slots=True)
class StepWork:
    """Work: the next step of a live transcript. It results in a `StepResult`."""

    live: LiveTranscript
    step: StreamStep
    beyond_s: float
    """Seconds of audio, of the same utterance or item, that have come after the step's window."""


@dataclass(frozen=True, eq=False, slots=True)
class ItemWork:
    """Work: the transcription of a whole item. It results in a `Transcript`."""

    item: Item


Work = StepWork | ItemWork


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The outcome of work that was cancelled."""


WorkOutcome = StepResult | Transcript | ServiceError | Cancelled


@dataclass(frozen=True, slots=True)
class ItemCommitted:
    """Notice: an item was committed and now waits for its text."""

    item_id: str
    audio_s: float


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """Notice: the client has been sent an item's text, or the error in its place."""

    item_id: str
    error: ServiceError | None


@dataclass(frozen=True, slots=True)
class CancelWork:
    """Notice: nobody needs the step in flight any more. It may be cancelled; `finish` is called in any case."""

    work: StepWork


Notice = ItemCommitted | ItemEnded | CancelWork
Output = events.ServerEvent | Notice
