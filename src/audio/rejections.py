"""What can be wrong with somebody's audio, each with its error and its sentence.

A decode worker is not trusted: it tells the service which of these it is, and a number, never a text.
"""

from enum import Enum

from src.errors import AudioTooLong, EmptyAudio, InvalidAudio, UnusableAudio

RATES = range(8_000, 192_000 + 1)
CHANNELS = range(1, 8 + 1)
SUPPORTED_FILES = "Send a WAV, FLAC, OGG, MP3, M4A, MP4 or WebM file."


class AudioRejection(Enum):
    """An error and its sentence, in which `{}` stands for a number."""

    EMPTY_FILE = EmptyAudio, "The file is empty."
    NO_SAMPLES = EmptyAudio, "The audio is empty: it has not a single sample."
    UNREADABLE = InvalidAudio, f"The file is not audio that can be read, or it is damaged. {SUPPORTED_FILES}"
    NO_TRACK = InvalidAudio, f"The file has no audio track. {SUPPORTED_FILES}"
    UNKNOWN_FORMAT = InvalidAudio, f"The file's audio is in a format that cannot be decoded. {SUPPORTED_FILES}"
    RATE = InvalidAudio, f"The audio has a sample rate of {{}} Hz; {RATES[0]} to {RATES[-1]} Hz can be read."
    CHANNELS = InvalidAudio, f"The audio has {{}} channels; 1 to {CHANNELS[-1]} can be read."
    MEMORY = InvalidAudio, "The file takes more memory than decoding may."
    CRASHED = (
        InvalidAudio,
        "The file could not be decoded: its decoder crashed, or took more than it may. It is damaged, or no audio.",
    )
    TOO_LONG = (
        AudioTooLong,
        "The audio is longer than {:g} s, the limit of this server (PARAKEET_MAX_AUDIO_SECONDS).",
    )

    def error(self, number: float = 0) -> UnusableAudio:
        """Return the error to raise, which remembers what it says."""
        kind, sentence = self.value
        error: UnusableAudio = kind(sentence.format(number), param="file")
        error.rejection = self.name, number
        return error


def format_error(rate: int, channels: int) -> UnusableAudio | None:
    """Return what is wrong with audio of so many samples a second and so many channels, if it cannot be read."""
    if rate not in RATES:
        return AudioRejection.RATE.error(rate)
    if channels not in CHANNELS:
        return AudioRejection.CHANNELS.error(channels)
    return None
