"""The audio of a session on its way to text: an utterance until it is committed, then an item."""

from dataclasses import dataclass, field
from typing import Any

from src.audio.samples import SAMPLE_RATE, Samples
from src.realtime.config import SessionConfig
from src.realtime.doubtful_text import Doubt
from src.realtime.live import LiveTranscript
from src.realtime.shown_text import ShownText
from src.text.speaker_turns import Labeller


@dataclass(eq=False, slots=True)
class Utterance:
    """Speech that is not committed yet."""

    shown: ShownText
    """What the client has been sent of its text."""
    live: LiveTranscript | None = None
    """Its live transcript, once that has begun."""
    start: int = 0
    """Where the live transcript begins, in samples since the session began."""
    doubt: Doubt = field(default_factory=Doubt)
    """Whether its live text may be shown."""

    @property
    def item_id(self) -> str:
        """The id that its item will get."""
        return self.shown.item_id


@dataclass(eq=False, slots=True)
class Item:
    """Committed audio that waits for its text."""

    shown: ShownText
    """What the client has been sent of its text."""
    samples: Samples
    """(samples,) float32 at 16 kHz."""
    config: SessionConfig
    """The configuration at the time of the commit."""
    announced: bool
    """Whether the client gets events for this item, or only for the response that covers it."""
    live: LiveTranscript | None = None
    """The live transcript that its text comes from; None if the item is transcribed as a whole."""
    label: Labeller | None = None
    """Says who speaks, once the item is transcribed; None if nobody has asked."""

    @property
    def item_id(self) -> str:
        """Its id."""
        return self.shown.item_id

    @property
    def tells_speakers(self) -> bool:
        """Whether its client is told who speaks."""
        return self.announced and self.config.tells_speakers

    @property
    def audio_s(self) -> float:
        """Its length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def item_body(item_id: str, transcript: str | None) -> dict[str, Any]:
    """Return an item as the protocol describes it, without its audio. `transcript` is None until there is one."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": transcript}],
    }
