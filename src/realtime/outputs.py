"""What a session gives out: work for the model, and notices for who runs the session."""

from dataclasses import dataclass

from src.engine.model import StreamStep
from src.errors import ServiceError
from src.realtime import events
from src.realtime.items import Item
from src.realtime.live import LiveTranscript


@dataclass(frozen=True, eq=False, slots=True)
class StepWork:
    """Work: one step of a stream."""

    live: LiveTranscript
    step: StreamStep


@dataclass(frozen=True, eq=False, slots=True)
class ItemWork:
    """Work: an item as a whole."""

    item: Item


Work = StepWork | ItemWork


@dataclass(frozen=True, slots=True)
class ItemCommitted:
    """A notice for who runs the session, not for the client: an item waits for its text from now on."""

    item_id: str
    audio_s: float


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """The notice that its text, or why there is none, has been told."""

    item_id: str
    error: ServiceError | None


Output = events.ServerEvent | ItemCommitted | ItemEnded
