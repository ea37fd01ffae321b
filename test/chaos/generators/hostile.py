"""A file that somebody may send who means no good, or whose disk does not."""

import mimetypes
from dataclasses import dataclass

CONTENT_TYPES = {
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "amr": "audio/amr",
    "caf": "audio/x-caf",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mka": "audio/x-matroska",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "webm": "audio/webm",
    "wma": "audio/x-ms-wma",
}
"""Media types by suffix, where the standard library's differ from system to system."""


@dataclass(frozen=True)
class HostileFile:
    """A file as a client sends it."""

    name: str
    data: bytes
    content_type: str = ""
    """The media type that it is said to have; that of the name's suffix where it is left out."""

    @property
    def said_type(self) -> str:
        """The media type to send it under."""
        suffix = self.name.rpartition(".")[2]
        guessed = CONTENT_TYPES.get(suffix) or mimetypes.guess_type(self.name)[0]
        return self.content_type or guessed or "application/octet-stream"
