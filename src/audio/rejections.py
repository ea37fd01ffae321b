"""The reasons why audio is rejected, each with its error class and its message.

A decode worker is not trusted: it names one of these reasons and a number, and never sends text.
"""

from enum import Enum

from src.errors import AudioTooLong, EmptyAudio, InvalidAudio, UnusableAudio

RATES = range(8_000, 192_000 + 1)
"""Supported sample rates in Hz."""
CHANNELS = range(1, 8 + 1)
"""Supported numbers of channels."""
SUPPORTED_FILES = "Send a WAV, FLAC, OGG, MP3, M4A, MP4 or WebM file."


class AudioRejection(Enum):
    """A reason: its error class, and its message with `{}` for the number."""

    EMPTY_FILE = EmptyAudio, "The file is empty."
    NO_SAMPLES = EmptyAudio, "The audio is empty: it has no samples."
    UNREADABLE = InvalidAudio, f"The file is not audio that can be read, or it is damaged. {SUPPORTED_FILES}"
    NO_TRACK = InvalidAudio, f"The file has no audio track. {SUPPORTED_FILES}"
    UNKNOWN_FORMAT = InvalidAudio, f"The file's audio is in a format that cannot be decoded. {SUPPORTED_FILES}"
    RATE = InvalidAudio, f"The audio has a sample rate of {{}} Hz; {RATES[0]} to {RATES[-1]} Hz are supported."
    CHANNELS = InvalidAudio, f"The audio has {{}} channels; 1 to {CHANNELS[-1]} are supported."
    MEMORY = InvalidAudio, "The file takes more memory to decode than is allowed."
    CRASHED = (
        InvalidAudio,
        "The file could not be decoded: its decoder crashed or exceeded its limits. "
        "The file is damaged, or it is not audio.",
    )
    TOO_LONG = (
        AudioTooLong,
        "The audio is longer than {:g} s, the limit of this server (PARAKEET_MAX_AUDIO_SECONDS).",
    )

    def error(self, number: float = 0) -> UnusableAudio:
        """Return the error to raise. Its `rejection` holds this reason's name and the number."""
        kind, message = self.value
        error: UnusableAudio = kind(message.format(number), param="file")
        error.rejection = self.name, number
        return error


def format_error(rate: int, channels: int) -> UnusableAudio | None:
    """Return the error for audio with an unsupported sample rate or number of channels, or None."""
    if rate not in RATES:
        return AudioRejection.RATE.error(rate)
    if channels not in CHANNELS:
        return AudioRejection.CHANNELS.error(channels)
    return None
