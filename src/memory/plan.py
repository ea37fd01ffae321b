"""How the service divides its memory: by the settings, and by shares of the limit for what they leave open."""

from dataclasses import dataclass

from src.settings import Settings

MIB = 2**20
UPLOADS_SHARE = 1 / 8
MAX_UPLOADS_BYTES = 2048 * MIB
"""Largest share for request bodies: even the largest number of requests needs no more."""
DECODING_SHARE = 1 / 4
AUDIO_SHARE = 1 / 4
MAX_QUEUED_AUDIO_S = 14_400.0
"""Four hours: beyond that, requests would wait for too long."""
AUDIO_BYTES_PER_S = 96_000
"""Memory for a second of decoded audio: 16,000 samples of four bytes, half of them twice, as they are copied when they
are joined, cut or moved to a larger buffer."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Limits of what is in memory at once, in bytes unless stated otherwise."""

    uploads: int
    """Request bodies."""
    uploaded_audio: int
    """Decoded audio of uploads: half of all audio."""
    session_audio: int
    """Audio of realtime sessions, decoded or not: a quarter."""
    messages: int
    """WebSocket messages that are incomplete or wait for the application: an eighth."""
    reading: int
    """Messages while they are parsed: an eighth."""
    decoding: int
    """Processes that decode media files, with their files."""
    queued_audio_s: float
    """Audio in the queue, in seconds. It is a part of the audio above."""

    @classmethod
    def of(cls, settings: Settings, memory_bytes: int) -> "MemoryPlan":
        """Return the plan for a memory limit of `memory_bytes`; the settings come first."""
        uploads = min(MAX_UPLOADS_BYTES, round(UPLOADS_SHARE * memory_bytes))
        if settings.max_uploads_mb is not None:
            uploads = round(settings.max_uploads_mb * MIB)
        audio = round(AUDIO_SHARE * memory_bytes)
        if settings.max_audio_mb is not None:
            audio = round(settings.max_audio_mb * MIB)
        queued_audio_s = settings.max_queued_audio_s or min(MAX_QUEUED_AUDIO_S, audio / AUDIO_BYTES_PER_S)
        decoding = round(DECODING_SHARE * memory_bytes)
        uploads = max(settings.max_upload_bytes, uploads)
        return cls(uploads, audio // 2, audio // 4, audio // 8, audio // 8, decoding, queued_audio_s)

    def __str__(self) -> str:
        """Return the limits in MiB, for the log."""
        sizes = {
            "uploads": self.uploads,
            "their audio": self.uploaded_audio,
            "audio of sessions": self.session_audio,
            "their messages": self.messages + self.reading,
            "decode workers": self.decoding,
        }
        return ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in sizes.items())
