"""Decoding that takes long: hours in a small file, any bytes, many threads; and what importing the decoder loads."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import CLIPS, SAMPLE_RATE, encode, pcm16, wav
from media_files import FILES, SPEECH, decoded, with_peak_memory

from src.audio.decode import PcmFormat, decode, decode_blocks
from src.audio.probe import is_container
from src.errors import AudioTooLong, ServiceError


def hours_of_flac() -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as flac:
        minute = np.zeros(60 * SAMPLE_RATE, np.int16)
        for _ in range(2 * 60):
            flac.write(minute)
    return file.getvalue()


def hours_joined(*arguments) -> bytes:
    return encode(np.zeros(60 * 48000, np.float32), *arguments) * (2 * 60)


@pytest.mark.parametrize(
    "make",
    [hours_of_flac, lambda: hours_joined("mp3", "libmp3lame", 48000), lambda: hours_joined("ogg", "libopus", 48000)],
    ids=["flac", "mp3", "opus"],
)
def test_of_a_small_file_of_hours_only_the_allowed_length_is_decoded(make):
    data = make()
    decode(wav(SPEECH, 48000), max_seconds=60)  # imports are done before memory is counted

    def too_long() -> None:
        with pytest.raises(AudioTooLong):
            decode(data, max_seconds=30)

    _, peak = with_peak_memory(too_long)
    assert peak < 15e6  # two hours are 460e6, and 30 s are 2e6


def test_blocks_come_one_after_the_other_and_joined_are_the_whole():
    long = pcm16(np.resize(SPEECH, 600 * SAMPLE_RATE))
    longest, peak = with_peak_memory(lambda: max(map(len, decode_blocks(long, pcm=PcmFormat()))))
    assert longest <= 5 * SAMPLE_RATE
    assert peak < 5e6
    for make in FILES.values():
        np.testing.assert_array_equal(np.concatenate(list(decode_blocks(make()))), decoded(make()))


SEEDS = sorted(FILES)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    data = bytearray(FILES[draw(st.sampled_from(SEEDS))]()[: draw(st.integers(0, 60_000))])
    for _ in range(draw(st.integers(0, 6))):
        if data:
            near_start = draw(st.booleans())
            at = draw(st.integers(0, min(len(data), 400 if near_start else len(data)) - 1))
            patch = draw(
                st.one_of(st.binary(max_size=8), st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"]))
            )
            data[at : at + len(patch)] = patch
    return bytes(data)


@given(st.one_of(damaged_files(), st.binary(max_size=2000)))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_give_samples_or_a_service_error(data):
    is_container(data)
    with suppress(ServiceError):
        assert len(decoded(data))


def test_threads_decode_at_the_same_time():
    wanted = {name: decoded(make()) for name, make in FILES.items()}
    with ThreadPoolExecutor(8) as pool:
        for name, samples in zip(SEEDS, pool.map(lambda name: decoded(FILES[name]()), SEEDS), strict=True):
            np.testing.assert_array_equal(samples, wanted[name])


def test_importing_the_decoder_loads_neither_ffmpeg_nor_librosa():
    code = "import sys, src.audio.decode; print(*{'av', 'librosa', 'numba', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CLIPS.parents[1])
    assert run.stdout.strip() == ""
