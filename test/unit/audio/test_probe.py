"""Formats are detected by their first bytes, and plain WAV files are parsed as libsndfile parses them."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import CLIPS, clip, pcm16, wav
from media_files import FILES, FMT, RATES, SOUND, SPEECH, TAGS, channels_of_their_own, chunk, decoded, riff

from src.audio.decode import plain_pcm
from src.audio.probe import is_container, plain_wav
from src.errors import InvalidAudio


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("rate", RATES)
def test_plain_wav_gives_the_samples_that_libsndfile_reads(rate, count):
    channels = np.resize(channels_of_their_own(count), (2 * rate + 1, count))
    plain, extensible = wav(channels, rate), wav(channels, rate, container="WAVEX")
    assert plain_wav(plain)
    assert not plain_wav(extensible)
    np.testing.assert_array_equal(decoded(plain), decoded(extensible))


@pytest.mark.parametrize("tags", TAGS)
def test_tags_in_a_wav_are_skipped(tags):
    notes = chunk(b"LIST", tags)
    for data in (riff(FMT, notes, SOUND), riff(FMT, notes, notes, SOUND), riff(FMT, SOUND, notes)):
        assert plain_wav(data)
        np.testing.assert_array_equal(decoded(data), SPEECH)


@pytest.mark.parametrize("name", [b"fact", b"bext", b"PEAK", b"junk", b"id3 ", b"????"])
@pytest.mark.parametrize("size", [4, 5, 700])
def test_other_chunks_in_a_wav_are_skipped(name, size):
    other = chunk(name, b"\0" * size)
    np.testing.assert_array_equal(decoded(riff(FMT, other, SOUND)), SPEECH)
    np.testing.assert_array_equal(decoded(riff(FMT, SOUND, other)), SPEECH)


def instructions(work: Callable[[], object]) -> int:
    """Return how many lines of Python some work runs."""
    count = 0

    def trace(*_: object) -> Any:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("chunks", [1_000, 100_000])
def test_a_wav_of_empty_chunks_takes_no_longer_to_parse_than_any_other(chunks):
    data = riff(FMT, *[chunk(b"LIST", b"")] * chunks, SOUND)
    assert instructions(lambda: plain_pcm(data)) < 200
    with suppress(InvalidAudio):  # where they are too many for libraries
        np.testing.assert_array_equal(decoded(data), SPEECH)


@pytest.mark.parametrize(
    "pattern",
    [
        b"\xff\xfb\x10",
        b"\xff\xfb\x90\x64",
        b"\xff\xf1\x00\x00\x01\x20",
        b"\xff\xf1",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"G",
    ],
)
def test_detection_takes_no_longer_for_a_file_that_is_all_headers(pattern):
    assert instructions(lambda: is_container(pattern * 100_000)) < 30_000


MISLEADING_SAMPLES = (b"wvpk", b"OggS")
"""First samples that make libsndfile take a WAV file for WavPack or Ogg. Here they are decoded as samples."""


@pytest.mark.parametrize("letters", MISLEADING_SAMPLES)
def test_samples_that_begin_like_another_format_are_decoded(letters):
    pcm = letters + pcm16(SPEECH)
    assert pcm16(decoded(riff(FMT, chunk(b"data", pcm)))) == pcm


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_known_by_its_first_bytes(name):
    assert is_container(FILES[name]())
    assert is_container(FILES[name]()[:20_000])


@pytest.mark.parametrize("path", sorted(CLIPS.glob("*.flac")), ids=lambda path: path.stem)
def test_speech_without_a_header_is_no_container(path: Path):
    samples = clip(path.stem)
    assert is_container(path.read_bytes())
    assert not any(is_container(pcm16(samples[start:])) for start in range(0, len(samples), 7001))


def test_quiet_noise_and_lone_frame_headers_are_no_container():
    rng = np.random.default_rng(7)
    for level in (1, 2, 8, 64, 1000, 32767):
        for _ in range(50):
            assert not is_container(rng.integers(-level, level, 5000).astype("<i2").tobytes())
    for header in (b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80\x2e\x7f\xfc"):
        assert not is_container(header + pcm16(SPEECH))
    assert not any(map(is_container, (b"", b"\0" * 10_000, b"\xff" * 10_000, b"\xff\xfb" * 5000)))


def test_a_truncated_or_tagged_stream_of_frames_is_a_container():
    for name in ("mp3", "mp2", "aac without container"):
        data = FILES[name]()
        assert is_container(b"ID3\x04\0\0\0\0\0\x0a" + b"\0" * 10 + data)
        assert is_container(data[5001:])
