"""Recordings of speakers whose names are known: decoded like uploads, and of the right length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.audio.samples import SAMPLE_RATE, Samples
from src.diarization.diarizer import KnownSpeaker
from src.errors import AudioTooLong, InvalidRequest, UnusableAudio
from src.metrics.trace import Measurements
from src.transcription.audio_source import Upload
from src.transcription.chunk_reader import ChunkReader
from src.transcription.source_decoder import SourceDecoder

MIN_S = 2.0
MAX_S = 10.0
"""The shortest and the longest recording, as in OpenAI's API."""
PADDING_S = 0.1
"""What codecs may add to the longest one."""
PARAM = "known_speaker_references"
"""The field that the recordings come in."""


@dataclass(frozen=True, slots=True)
class SpeakerReference:
    """A recording of somebody whose name is known."""

    name: str
    upload: Upload


@dataclass(frozen=True, slots=True)
class SpeakersWanted:
    """What a request says about the speakers that it wants to be told."""

    count: int | None = None
    """How many they are, if that is known."""
    references: tuple[SpeakerReference, ...] = ()


async def decode_references(
    references: Sequence[SpeakerReference], decoder: SourceDecoder, measured: Measurements
) -> tuple[KnownSpeaker, ...]:
    """Return the recordings decoded; `measured` gets the time that it takes.

    Raises:
        InvalidRequest: one of them is no audio, or too short or too long.
        DecoderUnavailable: there is no process to decode it.
    """
    return tuple([await _decode(each, f"`{PARAM}[{n}]`", decoder, measured) for n, each in enumerate(references)])


async def _decode(
    reference: SpeakerReference, label: str, decoder: SourceDecoder, measured: Measurements
) -> KnownSpeaker:
    try:
        samples = await _samples(reference.upload, decoder, measured)
    except AudioTooLong:
        raise _wrong_length(label, "is longer") from None
    except UnusableAudio as error:
        raise InvalidRequest(f"{label} cannot be used. {error.message}", param=PARAM) from None
    if len(samples) < MIN_S * SAMPLE_RATE:
        raise _wrong_length(label, f"has {math.floor(len(samples) / SAMPLE_RATE * 100) / 100:g} s")
    return KnownSpeaker(reference.name, samples)


async def _samples(upload: Upload, decoder: SourceDecoder, measured: Measurements) -> Samples:
    source = decoder.open(upload, max_s=MAX_S + PADDING_S, short_s=MAX_S)
    reader = ChunkReader(iter(source.blocks), source.pool, measured, source.decoding, source.worker_memory)
    try:
        return np.concatenate(await reader.rest())
    finally:
        await reader.aclose()


def _wrong_length(label: str, what: str) -> InvalidRequest:
    message = f"{label} {what}; a recording of a known speaker has {MIN_S:g} to {MAX_S:g} s."
    return InvalidRequest(message, param=PARAM)
