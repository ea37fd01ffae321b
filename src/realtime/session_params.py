"""What the handshake of a realtime connection says about its client."""

from dataclasses import dataclass

from src.realtime.config import SessionConfig


@dataclass(frozen=True, slots=True)
class SessionParams:
    """What is known about a client before its first event."""

    session_id: str
    expires_at: int
    """When the session ends at the latest, in Unix seconds."""
    rate: int
    """Sample rate of PCM16 in Hz until the client names one."""
    pcm16_rate: int
    """Sample rate in Hz that beta's format `pcm16` stands for."""
    model: str
    beta: bool = False
    """Whether the client gets events under their beta names."""
    transcription: bool = False
    """True for a client of OpenAI's transcription sessions, False for one of the simple dialect."""
    intent: bool = False
    """True if the URL has `intent=transcription`. Beta clients then get `transcription_session.created`."""
    config: SessionConfig | None = None
    """The configuration that the client's temporary key was made for; None with any other key."""
