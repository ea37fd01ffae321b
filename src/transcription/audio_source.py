"""Audio to transcribe: an upload as it came, or the audio of a realtime item."""

from dataclasses import dataclass
from functools import cached_property

from src.audio.decode import PcmFormat, plain_pcm
from src.audio.probe import PlainPcm
from src.audio.samples import Samples


@dataclass(frozen=True)
class Upload:
    """An uploaded file: any media file, or headerless samples if `pcm` is set."""

    data: bytes
    pcm: PcmFormat | None = None
    """Format of headerless samples; None for a media file."""

    @cached_property
    def plain(self) -> PlainPcm | None:
        """The samples of headerless or plain WAV audio; None for a file that a library has to decode."""
        return plain_pcm(self.data, self.pcm)


@dataclass(frozen=True, eq=False, slots=True)
class ItemAudio:
    """The audio of a committed realtime item, already decoded. It has precedence over uploads in the queue."""

    samples: Samples
    """(samples,) float32 at 16 kHz."""


AudioSource = Upload | ItemAudio
