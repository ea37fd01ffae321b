"""What a session makes of audio: an utterance while it is spoken, an item once it is committed."""

from dataclasses import dataclass
from typing import Any

from src.audio.samples import SAMPLE_RATE, Samples
from src.realtime.config import SessionConfig
from src.realtime.live import LiveTranscript


@dataclass(eq=False, slots=True)
class Utterance:
    """Speech that is not committed yet."""

    item_id: str
    """The id that its item will have."""
    live: LiveTranscript | None = None
    """Its stream, once it has begun."""
    start: int = 0
    """Where in the session that began, in samples."""
    shown: str = ""
    """The text that the client has read so far."""


@dataclass(eq=False, slots=True)
class Item:
    """Committed audio on its way to a text."""

    item_id: str
    samples: Samples
    """(samples,) float32 at 16 kHz."""
    config: SessionConfig
    announced: bool
    """Whether the client reads of the item itself, or only of the response that it asked for."""
    live: LiveTranscript | None = None
    """The stream that was begun while it was spoken, if one was."""
    shown: str = ""

    @property
    def audio_s(self) -> float:
        """Its length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def item_body(item_id: str, transcript: str | None) -> dict[str, Any]:
    """Return an item as the protocol has it, without its audio; the transcript is None while there is none."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": transcript}],
    }
