"""A file that an attacker may send, or a client with a broken disk."""

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
"""Media types by suffix; those of the standard library differ from system to system."""


@dataclass(frozen=True)
class HostileFile:
    """A file as a client sends it."""

    name: str
    data: bytes
    content_type: str = ""
    """The media type to declare; empty for the one of the name's suffix."""

    @property
    def declared_type(self) -> str:
        """The media type that is declared for it."""
        suffix = self.name.rpartition(".")[2]
        guessed = CONTENT_TYPES.get(suffix) or mimetypes.guess_type(self.name)[0]
        return self.content_type or guessed or "application/octet-stream"
