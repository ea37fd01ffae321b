"""Where an upload is decoded. That media files are decoded in processes of their own: test/process, test/service."""

from concurrent.futures import ThreadPoolExecutor

import media
import numpy as np
import pytest
from media import pcm16, wav

from src.audio.decode import PcmFormat
from src.audio.sandbox import Sandbox
from src.errors import AudioTooLong, EmptyAudio
from src.transcription.audio_source import Upload
from src.transcription.source_decoder import SourceDecoder

SPEECH = media.clip("piper-joe-1")
DECODING, WAITING = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
SANDBOX = Sandbox(timeout_s=60, memory_mb=500, total_mb=2000, max_workers=1)
DECODER = SourceDecoder(SANDBOX, DECODING, WAITING)


@pytest.mark.parametrize("upload", [Upload(wav(SPEECH)), Upload(pcm16(SPEECH), PcmFormat())])
def test_short_plain_audio_needs_no_thread(upload):
    source = DECODER.open(upload, max_s=10, short_s=5)
    assert (source.pool, source.decoding, source.worker_memory) == (None, None, None)
    assert len(np.concatenate(list(source.blocks))) == len(SPEECH)


@pytest.mark.parametrize(
    "upload", [Upload(wav(SPEECH)), Upload(wav(SPEECH, channels=2)), Upload(pcm16(SPEECH), PcmFormat(8000))]
)
def test_other_plain_audio_is_decoded_in_a_thread(upload):
    source = DECODER.open(upload, max_s=10, short_s=1)
    assert (source.pool, source.decoding) == (DECODING, None)
    assert len(np.concatenate(list(source.blocks))) >= len(SPEECH)


def test_a_media_file_is_decoded_in_a_worker_whose_memory_is_waited_for():
    source = DECODER.open(Upload(wav(SPEECH, container="FLAC")), max_s=10, short_s=5)
    assert source.pool is WAITING
    assert source.decoding is not None
    assert source.worker_memory is not None


def test_what_cannot_be_used_says_so_when_it_is_read():
    with pytest.raises(AudioTooLong):
        list(DECODER.open(Upload(wav(SPEECH)), max_s=2, short_s=1).blocks)
    with pytest.raises(EmptyAudio):
        list(DECODER.open(Upload(b""), max_s=2, short_s=1).blocks)
