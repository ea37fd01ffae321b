"""Decode a stream of headerless audio bytes, cut anywhere, to 16 kHz mono samples."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from src.audio.g711 import decode_alaw, decode_mulaw
from src.audio.resample import Resampler
from src.audio.samples import Samples
from src.errors import InvalidRequest

RATES = range(8_000, 48_000 + 1)
"""Supported sample rates of PCM16 in Hz."""
G711_RATE = 8_000


class Encoding(Enum):
    """The encoding of samples. The values are the names in OpenAI's realtime protocol."""

    PCM16 = "audio/pcm"
    """Two bytes per sample, little-endian."""
    MULAW = "audio/pcmu"
    ALAW = "audio/pcma"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of headerless mono audio.

    Raises:
        InvalidRequest: the rate is not 8000 to 48000 Hz for PCM16, or not 8000 Hz for mu-law and A-law.
    """

    encoding: Encoding
    rate: int
    """Sample rate in Hz."""

    def __post_init__(self) -> None:
        if self.encoding is not Encoding.PCM16 and self.rate != G711_RATE:
            raise InvalidRequest(f"{self.encoding.value} has a rate of {G711_RATE} Hz, not {self.rate}.", param="rate")
        if self.rate not in RATES:
            raise InvalidRequest(f"rate must be {RATES[0]} to {RATES[-1]} Hz, not {self.rate}.", param="rate")

    @property
    def bytes_per_second(self) -> int:
        """Bytes per second of audio."""
        return self.rate * (2 if self.encoding is Encoding.PCM16 else 1)


class StreamDecoder:
    """Decodes one stream after another. One thread at a time may use it.

    The joined output of a stream does not depend on how its bytes are cut, even within a sample. The resampler delays
    samples (see `Resampler`): they come with later bytes, or at the end.
    """

    def __init__(self, format: AudioFormat) -> None:
        self._encoding = format.encoding
        self._resampler = Resampler(format.rate)
        self._partial = b""

    def feed(self, data: bytes) -> Samples:
        """Add bytes, and return the 16 kHz samples that are ready (samples,), perhaps none. Full scale is 1."""
        return self._resampler.feed(self._decode(data))

    def finish(self) -> Samples:
        """End the stream and return the rest of it (samples,), without an incomplete last sample.

        What is fed next begins a new stream.
        """
        self._partial = b""
        return self._resampler.finish()

    def _decode(self, data: bytes) -> NDArray[np.float32]:
        match self._encoding:
            case Encoding.MULAW:
                return decode_mulaw(data)
            case Encoding.ALAW:
                return decode_alaw(data)
            case Encoding.PCM16:
                return self._pcm16(data)

    def _pcm16(self, data: bytes) -> NDArray[np.float32]:
        data = self._partial + data
        whole = len(data) // 2
        self._partial = data[2 * whole :]
        samples: NDArray[np.float32] = np.multiply(np.frombuffer(data, "<i2", whole), 2.0**-15, dtype=np.float32)
        return samples
