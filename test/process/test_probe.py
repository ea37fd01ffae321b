"""Any WAV file that is read without a library is read as libsndfile reads it."""

import io

import numpy as np
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from media import wav
from media_files import TAGS, chunk, riff

from src.audio.probe import plain_wav


@st.composite
def odd_wavs(draw: st.DrawFn) -> bytes:
    channels = draw(st.integers(1, 3))
    samples = draw(st.binary(max_size=200))
    notes = [chunk(b"LIST", tags) for tags in draw(st.lists(st.sampled_from(TAGS), max_size=2))]
    form = wav(np.zeros((1, channels)))[12:36]
    data = bytearray(riff(form, *notes, chunk(b"data", samples)) + draw(st.sampled_from([b"", b"\0", b"LIST"])))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, min(len(data), 60) - 1))] = draw(st.sampled_from([0, 1, 2, 3, 16, 32, 127, 255]))
    return bytes(data[: draw(st.sampled_from([len(data), len(data) - 1, 43, 20]))])


@given(odd_wavs())
@settings(max_examples=500)
def test_whatever_wav_is_read_without_a_library_libsndfile_reads_alike(data):
    plain = plain_wav(data)
    # If the samples begin with another format's magic, libsndfile takes the file for one of that format.
    if plain and soundfile.info(io.BytesIO(data)).subtype == "PCM_16":
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
        assert (rate, samples.shape[1]) == (plain.rate, plain.channels)
        assert samples.tobytes() == bytes(plain.data)
