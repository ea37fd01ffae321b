"""How the memory that the service may take is divided: what is set, and shares of the machine for what is not."""

from dataclasses import dataclass

from src.settings import Settings

MIB = 2**20
UPLOADS_SHARE = 1 / 8
MAX_UPLOADS_BYTES = 2048 * MIB
"""Of bodies; more than that is no use to the most requests that there may be."""
DECODING_SHARE = 1 / 4
AUDIO_SHARE = 1 / 4
MAX_QUEUED_AUDIO_S = 14_400.0
"""Four hours: beyond, whoever waits would wait for long."""
AUDIO_BYTES_PER_S = 96_000
"""What a second of decoded audio counts for: 16,000 samples of four bytes, half of which are in memory a second time
while they are put together, cut or copied into a larger buffer."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What may be in memory at once, in bytes unless it says otherwise."""

    uploads: int
    """Bodies of requests."""
    uploaded_audio: int
    """Decoded audio of uploads: half of all audio."""
    session_audio: int
    """Audio of realtime sessions, decoded or not: a quarter."""
    messages: int
    """WebSocket messages that are incomplete, or wait: an eighth."""
    reading: int
    """Messages while they are read: an eighth."""
    decoding: int
    """Workers that decode media files, with their files."""
    queued_audio_s: float
    """Audio in the queue, which is some of the audio above, in seconds."""

    @classmethod
    def of(cls, settings: Settings, memory_bytes: int) -> "MemoryPlan":
        """Divide the memory that the service may take, as far as the settings leave it open."""
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
        """Say what it is in MiB, for the log."""
        sizes = {
            "uploads": self.uploads,
            "their audio": self.uploaded_audio,
            "audio of sessions": self.session_audio,
            "their messages": self.messages + self.reading,
            "decode workers": self.decoding,
        }
        return ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in sizes.items())
