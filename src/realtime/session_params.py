"""What is settled before a session's first event: what its connection says, and what holds for every session."""

from dataclasses import dataclass

from src.engine.windowing import Windowing
from src.realtime.config import SessionConfig


@dataclass(frozen=True, slots=True)
class SessionParams:
    """What a connection says about its client before the first event."""

    session_id: str
    expires_at: int
    """When the session ends at the latest, in Unix seconds."""
    rate: int
    """Of PCM16, in Hz, where the client does not name one."""
    pcm16_rate: int
    """What beta's `pcm16` stands for."""
    model: str
    beta: bool = False
    """Whether it is told things by their beta names."""
    transcription: bool = False
    """Whether it is a client of OpenAI's transcription sessions, rather than of the simple dialect."""
    intent: bool = False
    """Whether it asked for transcription in so many words; a beta client then reads of the session by that name."""
    config: SessionConfig | None = None
    """What it begins with, where its key was made for such sessions."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What holds for every session."""

    max_audio_s: float
    """Longest item, and most audio that is not committed."""
    windowing: Windowing
    partials: bool
    """Whether text is shown while it is spoken."""
    final_from_stream: bool
    """Whether the final text is that of the stream, rather than that of the whole item decoded once more."""
