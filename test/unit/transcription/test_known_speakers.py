"""Recordings of known speakers: decoded, of 2 to 10 s, or an error that names them. Media files: test/service."""

from concurrent.futures import ThreadPoolExecutor

import media
import numpy as np
import pytest
from media import pcm16, wav

from src.audio.decode import PcmFormat
from src.audio.samples import SAMPLE_RATE
from src.audio.sandbox import Sandbox
from src.diarization.diarizer import KnownSpeaker
from src.errors import InvalidRequest
from src.metrics.trace import Measurements
from src.transcription.audio_source import Upload
from src.transcription.known_speakers import SpeakerReference, decode_references
from src.transcription.source_decoder import SourceDecoder

SPEECH = media.clip("piper-joe-1")


async def decoded(*uploads: Upload, measured: Measurements | None = None) -> tuple[KnownSpeaker, ...]:
    sandbox = Sandbox(timeout_s=60, memory_mb=500, total_mb=2000, max_workers=1)
    with ThreadPoolExecutor(1) as pool:
        references = [SpeakerReference(name, upload) for name, upload in zip(("Anna", "Ben"), uploads, strict=False)]
        return await decode_references(references, SourceDecoder(sandbox, pool, pool), measured or Measurements())


def speech(seconds: float) -> np.ndarray:
    return np.resize(SPEECH, round(seconds * SAMPLE_RATE))


async def test_recordings_are_decoded_in_their_order():
    measured = Measurements()
    plain, stereo = wav(speech(2)), wav(speech(10), channels=2)
    anna, ben = await decoded(Upload(plain), Upload(stereo), measured=measured)
    assert (anna.name, ben.name) == ("Anna", "Ben")
    assert (len(anna.samples), len(ben.samples)) == (2 * SAMPLE_RATE, 10 * SAMPLE_RATE)
    assert measured.duration_preprocess_s is not None
    assert measured.audio_len_s is None, "they are not the audio of the request"


@pytest.mark.parametrize(
    ("upload", "why"),
    [
        (Upload(wav(speech(1.99))), "has 1.99 s"),
        (Upload(wav(speech(10.2))), "is longer"),
        (Upload(wav(speech(30), channels=2)), "is longer"),
        (Upload(pcm16(speech(1.5)), PcmFormat()), "has 1.5 s"),
        (Upload(b""), "is empty"),
    ],
    ids=str,
)
async def test_one_that_cannot_be_used_is_named(upload, why):
    with pytest.raises(InvalidRequest) as error:
        await decoded(Upload(wav(speech(2))), upload)
    assert (error.value.status, error.value.param) == (400, "known_speaker_references")
    assert "`known_speaker_references[1]`" in error.value.message
    assert why in error.value.message
