"""Uploads and the audio of items."""

import numpy as np
from media import encode, pcm16, wav

from src.audio.decode import PcmFormat
from src.transcription.audio_source import Upload

SAMPLES = np.linspace(-0.5, 0.5, 1600, dtype=np.float32)


def test_plain_wav_and_headerless_samples_need_no_library():
    plain = Upload(wav(SAMPLES, rate=8000, channels=2)).plain
    assert plain is not None
    assert (plain.rate, plain.channels) == (8000, 2)
    headerless = Upload(pcm16(SAMPLES), PcmFormat(44_100)).plain
    assert headerless is not None
    assert (headerless.rate, headerless.channels, bytes(headerless.data)) == (44_100, 1, pcm16(SAMPLES))


def test_other_files_need_one():
    assert Upload(wav(SAMPLES, container="FLAC")).plain is None
    assert Upload(encode(SAMPLES, "mp3", "libmp3lame")).plain is None
    assert Upload(b"").plain is None
