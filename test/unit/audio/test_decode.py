import io
import re
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import CLIPS, SAMPLE_RATE, clip, encode, likeness, pcm16, resampled, wav
from numpy.typing import NDArray

from src.audio.decode import MAX_SHORT_S, PcmFormat, decode, decode_blocks, plain_pcm, scale_if_short
from src.audio.probe import is_container, plain_wav
from src.errors import AudioTooLong, EmptyAudio, InvalidAudio, InvalidRequest, ServiceError

SPEECH = clip("flite-slt-1")
RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000]


def audio(data: bytes, pcm: PcmFormat | None = None) -> NDArray[np.float32]:
    """Decode with a limit that nothing here reaches, and hold what every caller relies on."""
    samples = decode(data, max_seconds=60, pcm=pcm)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert samples.flags.c_contiguous
    assert samples.flags.writeable
    assert np.isfinite(samples).all()
    return samples


def snr_db(got: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum()))


def channels_of_their_own(count: int) -> NDArray[np.float32]:
    """Return speech in each of `count` channels, another piece at another level in each, on the grid of PCM16."""
    levels = [0.7 * 0.8**index for index in range(count)]
    shifted = [np.roll(SPEECH, 4000 * index) * level for index, level in enumerate(levels)]
    return (np.round(np.stack(shifted, axis=1) * 32768) / 32768).astype(np.float32)


# Every container and codec: (how it is made, least likeness to the speech that went in, samples that a codec may add).
def made(*arguments, **options) -> Callable[[], bytes]:
    rate = arguments[2]
    return cache(lambda: encode(resampled(SPEECH, rate), *arguments, **options))


def written(**options) -> Callable[[], bytes]:
    return cache(lambda: wav(SPEECH, **options))


LOSSLESS = {
    "wav, 16 bit": written(),
    "wav, 24 bit": written(subtype="PCM_24"),
    "wav, 32 bit": written(subtype="PCM_32"),
    "wav, 32 bit float": written(subtype="FLOAT"),
    "wav, 64 bit float": written(subtype="DOUBLE"),
    "wav, extensible": written(container="WAVEX", channels=2),
    "rf64": written(container="RF64"),
    "w64": written(container="W64"),
    "aiff": written(container="AIFF"),
    "au": written(container="AU"),
    "caf": written(container="CAF"),
    "nist sphere": written(container="NIST"),
    "flac": written(container="FLAC"),
    "flac, 24 bit": written(container="FLAC", subtype="PCM_24"),
    "flac in ogg": made("ogg", "flac", 16000, 1),
    "flac in matroska, 8 channels": made("matroska", "flac", 16000, 8),
    "alac in m4a": made("mp4", "alac", 16000, 2),
    "wavpack, 8 channels": made("matroska", "wavpack", 16000, 8),
    "wavpack": made("wv", "wavpack", 16000, 2),
    "tta": made("tta", "tta", 16000, 1),
    "pcm in mov with video": made("mov", "pcm_s24le", 16000, 1, video=True),
    "64 bit float in mov": made("mov", "pcm_f64le", 16000, 1),
}
LOSSY = {
    "wav, 8 bit": (written(subtype="PCM_U8"), 0.998),
    "wav, a-law": (written(subtype="ALAW"), 0.999),
    "wav, mu-law": (written(subtype="ULAW"), 0.999),
    "wav, ima adpcm": (written(subtype="IMA_ADPCM"), 0.99),
    "wav, ms adpcm": (written(subtype="MS_ADPCM"), 0.99),
    "wav, gsm": (written(subtype="GSM610"), 0.97),
    "wav, mp3": (made("wav", "libmp3lame", 16000, 1), 0.99),
    "voc": (made("voc", "pcm_u8", 8000, 1), 0.99),
    "mp3": (written(container="MP3", subtype="MPEG_LAYER_III"), 0.99),
    "mp3, 44.1 kHz stereo": (made("mp3", "libmp3lame", 44100, 2), 0.99),
    "mp2": (made("mp2", "mp2", 48000, 2), 0.99),
    "ogg vorbis": (written(container="OGG", subtype="VORBIS"), 0.99),
    "ogg opus": (written(container="OGG", subtype="OPUS"), 0.98),
    "m4a": (made("ipod", "aac", 44100, 2), 0.99),
    "mp4 with video": (made("mp4", "aac", 48000, 2, video=True), 0.99),
    "mp4, 8 channels": (made("mp4", "aac", 48000, 8), 0.99),
    "mp4, mp3 inside": (made("mp4", "libmp3lame", 44100, 1), 0.99),
    "aac without container": (made("adts", "aac", 16000, 1), 0.99),
    "webm": (made("webm", "libopus", 48000, 1), 0.98),
    "webm with video": (made("webm", "libopus", 48000, 2, video=True), 0.98),
    "webm, 8 channels": (made("webm", "libopus", 48000, 8), 0.98),
    "mkv with video": (made("matroska", "aac", 22050, 1, video=True), 0.99),
    "amr": (made("amr", "libopencore_amrnb", 8000, 1), 0.75),
    "3gp, amr inside": (made("3gp", "libopencore_amrnb", 8000, 1), 0.75),
    "3gp with video": (made("3gp", "aac", 16000, 1, video=True), 0.99),
    "wma 1": (made("asf", "wmav1", 22050, 1), 0.99),
    "wma 2": (made("asf", "wmav2", 44100, 2), 0.99),
    "flv with video": (made("flv", "aac", 44100, 2, video=True), 0.99),
    "avi with video": (made("avi", "libmp3lame", 44100, 2, video=True), 0.99),
    "avi, ac3, 6 channels": (made("avi", "ac3", 48000, 6), 0.98),
    "mpeg-ts with video": (made("mpegts", "aac", 48000, 2, video=True), 0.98),
    "mpeg-ps with video": (made("mpeg", "mp2", 48000, 2, video=True), 0.98),
    "real media": (made("rm", "ac3", 48000, 2), 0.98),
}
FILES = LOSSLESS | {name: make for name, (make, _) in LOSSY.items()}
each_file = pytest.mark.parametrize("name", FILES)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_give_their_samples_exactly(name):
    np.testing.assert_array_equal(audio(LOSSLESS[name]()), SPEECH)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_give_the_speech_that_went_in(name):
    make, least = LOSSY[name]
    samples = audio(make())
    assert likeness(samples, SPEECH) > least
    assert abs(len(samples) - len(SPEECH)) < 0.1 * SAMPLE_RATE


@pytest.mark.parametrize(("subtype", "least_db"), [("PCM_U8", 25), ("ALAW", 30), ("ULAW", 30)])
def test_eight_bit_formats_keep_level_and_sign(subtype, least_db):
    assert snr_db(audio(wav(SPEECH, subtype=subtype)), SPEECH) > least_db


def test_headerless_pcm_gives_its_samples_exactly():
    np.testing.assert_array_equal(audio(pcm16(SPEECH), PcmFormat()), SPEECH)


@pytest.mark.parametrize("rate", RATES)
def test_every_sample_rate_is_resampled_as_librosa_does(rate):
    samples = resampled(SPEECH, rate)
    wanted = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    got = audio(wav(samples, rate, subtype="FLOAT"))
    assert len(got) == len(wanted) == -(-len(samples) * SAMPLE_RATE // rate)
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert likeness(got, SPEECH) > 0.99


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("length", [1, 2, 7, 1000, 65_535, 65_536, 65_537, 131_072])
def test_resampling_does_not_show_where_blocks_meet(rate, length):
    samples = np.resize(SPEECH, length)
    wanted = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    np.testing.assert_allclose(audio(wav(samples, rate, subtype="FLOAT")), wanted, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_headerless_pcm_has_the_rate_and_channels_it_is_said_to_have(rate):
    stereo = np.stack([resampled(SPEECH, rate)] * 2, axis=1)
    got = audio(pcm16(stereo), PcmFormat(rate=rate, channels=2))
    assert likeness(got, SPEECH) > 0.99


@pytest.mark.parametrize("count", range(1, 9))
def test_channels_are_mixed_by_their_mean(count):
    channels = channels_of_their_own(count)
    wanted = channels.mean(axis=1)
    for data in (wav(channels), wav(channels, subtype="FLOAT"), wav(channels, container="FLAC")):
        np.testing.assert_allclose(audio(data), wanted, atol=1e-6)
    np.testing.assert_allclose(audio(pcm16(channels), PcmFormat(channels=count)), wanted, atol=1e-6)


@pytest.mark.parametrize("count", [2, 6, 8])
def test_channels_that_a_codec_keeps_apart_are_mixed_by_their_mean(count):
    channels = channels_of_their_own(count)
    data = encode(channels, "wv", "wavpack", channels=count)
    np.testing.assert_allclose(audio(data), channels.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_no_numbers_become_silence(subtype):
    broken = np.stack([SPEECH, SPEECH], axis=1).astype(float)
    broken[100:200, 0] = np.nan
    broken[300:400] = np.inf
    broken[500:600] = -np.inf
    wanted = SPEECH.copy()
    wanted[100:200] /= 2
    wanted[300:400] = wanted[500:600] = 0
    np.testing.assert_array_equal(audio(wav(broken, subtype=subtype)), wanted)
    np.testing.assert_array_equal(audio(wav(broken, subtype=subtype, container="CAF")), wanted)


@pytest.mark.parametrize("loudness", [2.5, 2.0**15, 2.0**31])
def test_floats_beyond_full_scale_are_not_clipped(loudness):
    loud = SPEECH / np.abs(SPEECH).max() * np.float32(loudness)
    np.testing.assert_array_equal(audio(wav(loud, subtype="FLOAT")), loud)


@pytest.mark.parametrize("container", ["WAV", "CAF"])
def test_absurdly_large_floats_are_cut_where_arithmetic_stays_finite(container):
    absurd = SPEECH.astype(float)
    absurd[100], absurd[200] = 1e30, -1e300
    got = audio(wav(absurd, subtype="DOUBLE", container=container))
    np.testing.assert_array_equal(np.delete(got, [100, 200]), np.delete(SPEECH, [100, 200]))
    assert np.isfinite(np.square(got * np.float32(512))).all()


def test_silence_stays_silence():
    np.testing.assert_array_equal(audio(wav(np.zeros(1600))), np.zeros(1600))


@pytest.mark.parametrize("seconds", [1 / SAMPLE_RATE, 1, 30])
def test_short_mono_at_16_khz_is_decoded_at_once_as_in_blocks(seconds):
    samples = np.resize(SPEECH, round(seconds * SAMPLE_RATE))
    pcm = pcm16(samples)
    for data, form in ((pcm, PcmFormat()), (pcm + b"a", PcmFormat()), (wav(samples), None)):
        quick = scale_if_short(plain_pcm(data, form), max_s=30)
        assert quick.dtype == np.float32
        np.testing.assert_array_equal(quick, audio(data, form))


@pytest.mark.parametrize(
    ("seconds", "form", "max_s"),
    [
        (0, PcmFormat(), 30),
        (1.001, PcmFormat(), 1),
        (MAX_SHORT_S + 0.001, PcmFormat(), 120),
        (0.1, PcmFormat(8000), 30),
        (0.1, PcmFormat(channels=2), 30),
    ],
)
def test_what_takes_longer_is_not_decoded_at_once(seconds, form, max_s):
    samples = np.zeros((round(seconds * form.rate), form.channels), np.float32)
    assert scale_if_short(plain_pcm(pcm16(samples), form), max_s) is None
    assert scale_if_short(plain_pcm(wav(samples, form.rate, form.channels)), max_s) is None


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_torn_last_frame_of_headerless_pcm_is_dropped(torn):
    stereo = pcm16(np.stack([SPEECH, SPEECH], axis=1))
    np.testing.assert_array_equal(audio(stereo + b"\x7f" * torn, PcmFormat(channels=2)), SPEECH)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"rate": 7999}, "rate"),
        ({"rate": 192_001}, "rate"),
        ({"rate": -16_000}, "rate"),
        ({"channels": 0}, "channels"),
        ({"channels": 9}, "channels"),
    ],
)
def test_a_pcm_format_out_of_range_names_the_field_and_its_range(form, param):
    with pytest.raises(InvalidRequest, match=rf"^{param} must be \d+ to \d+.*, not {form[param]}\.$") as caught:
        PcmFormat(**form)
    assert caught.value.param == param


# WAV of PCM16, which is read without a library


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


FMT = wav(SPEECH)[12:36]
SOUND = chunk(b"data", pcm16(SPEECH))
TAGS = [b"", b"INFO", b"INFOISFT\x0e\0\0\0Lavf61.7.100\0\0", b"adtlnote\x05\0\0\0\0\0\0\0a"]


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("rate", RATES)
def test_plain_wav_gives_the_samples_that_libsndfile_reads(rate, count):
    channels = np.resize(channels_of_their_own(count), (2 * rate + 1, count))
    plain, extensible = wav(channels, rate), wav(channels, rate, container="WAVEX")
    assert plain_wav(plain)
    assert not plain_wav(extensible)
    np.testing.assert_array_equal(audio(plain), audio(extensible))


@pytest.mark.parametrize("tags", TAGS)
def test_tags_in_a_wav_are_not_heard(tags):
    notes = chunk(b"LIST", tags)
    for data in (riff(FMT, notes, SOUND), riff(FMT, notes, notes, SOUND), riff(FMT, SOUND, notes)):
        assert plain_wav(data)
        np.testing.assert_array_equal(audio(data), SPEECH)


@pytest.mark.parametrize("name", [b"fact", b"bext", b"PEAK", b"junk", b"id3 ", b"????"])
@pytest.mark.parametrize("size", [4, 5, 700])
def test_other_chunks_in_a_wav_are_not_heard(name, size):
    other = chunk(name, b"\0" * size)
    np.testing.assert_array_equal(audio(riff(FMT, other, SOUND)), SPEECH)
    np.testing.assert_array_equal(audio(riff(FMT, SOUND, other)), SPEECH)


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
def test_a_wav_of_empty_chunks_takes_no_longer_to_look_at_than_any_other(chunks):
    data = riff(FMT, *[chunk(b"LIST", b"")] * chunks, SOUND)
    assert instructions(lambda: plain_pcm(data)) < 200
    with suppress(InvalidAudio):  # where they are too many for libraries
        np.testing.assert_array_equal(audio(data), SPEECH)


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
def test_to_tell_what_a_file_is_takes_no_longer_for_a_file_of_headers(pattern):
    assert instructions(lambda: is_container(pattern * 100_000)) < 30_000


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


OTHER_COATS = (b"wvpk", b"OggS")
"""What libsndfile takes for WavPack or Ogg in the wrong coat where samples happen to begin so. They are heard here."""


@given(odd_wavs())
@settings(max_examples=500)
def test_whatever_wav_is_read_without_a_library_libsndfile_reads_alike(data):
    plain = plain_wav(data)
    # libsndfile takes samples that begin with another format's magic for a file of that format in the wrong coat.
    if plain and soundfile.info(io.BytesIO(data)).subtype == "PCM_16":
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
        assert (rate, samples.shape[1]) == (plain.rate, plain.channels)
        assert samples.tobytes() == bytes(plain.data)


@pytest.mark.parametrize("letters", OTHER_COATS)
def test_samples_that_begin_like_another_format_are_heard(letters):
    pcm = letters + pcm16(SPEECH)
    assert pcm16(audio(riff(FMT, chunk(b"data", pcm)))) == pcm


# Files that are not as they should be


@pytest.mark.parametrize(
    "riff_and_data_bytes", [(0, 0), (36, 0), (2**32 - 1, 2**32 - 1), (2**31 - 1, 2**31 - 37), (0, 2**32 - 1)]
)
@pytest.mark.parametrize("info", [b"", b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf61.7.100\0\0"])
def test_a_wav_whose_header_was_never_finished_is_read_to_its_end(riff_and_data_bytes, info):
    riff, data = (size.to_bytes(4, "little") for size in riff_and_data_bytes)
    header = wav(SPEECH)[:44]
    streamed = header[:4] + riff + header[8:36] + info + b"data" + data + pcm16(SPEECH)
    np.testing.assert_array_equal(audio(streamed), SPEECH)


def test_headers_that_promise_hours_cost_no_memory():
    flac = bytearray(wav(SPEECH, container="FLAC"))
    flac[21] |= 0x0F  # STREAMINFO's count of samples, 36 bits
    flac[22:26] = b"\xff" * 4
    riff = bytearray(wav(SPEECH))
    riff[40:44] = b"\xff" * 4
    caf = bytearray(wav(SPEECH, container="CAF"))
    at = caf.index(b"data") + 4
    caf[at : at + 8] = (2**62).to_bytes(8, "big")
    for data in (flac, riff, caf):
        samples, peak = with_peak_memory(lambda data=data: audio(bytes(data)))
        np.testing.assert_array_equal(samples, SPEECH)
        assert peak < 30e6


def with_peak_memory(work: Callable[[], Any]) -> tuple[Any, int]:
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


FRONT_LOADED = FILES | {"m4a, header in front": made("mp4", "aac", 16000, 1, movflags="faststart")}
HEADER_AT_THE_END = {name for name in FILES if re.match("m4a|mp4|3gp|alac|.*mov", name)}


@pytest.mark.parametrize("name", sorted(set(FRONT_LOADED) - HEADER_AT_THE_END))
def test_a_file_cut_short_gives_what_is_there(name):
    data = FRONT_LOADED[name]()
    got = audio(data[: len(data) * 6 // 10])
    assert 0.35 * len(SPEECH) < len(got) < 0.8 * len(SPEECH)
    assert likeness(got, SPEECH[: len(got)]) > (0.7 if "amr" in name else 0.9)


HALF_A_MINUTE = clip("long-30s")
LONG = {
    "wav": lambda: wav(HALF_A_MINUTE),
    "flac": lambda: wav(HALF_A_MINUTE, container="FLAC"),
    "mp3": lambda: wav(HALF_A_MINUTE, container="MP3", subtype="MPEG_LAYER_III"),
    "ogg vorbis": lambda: wav(HALF_A_MINUTE, container="OGG", subtype="VORBIS"),
    "webm": lambda: encode(resampled(HALF_A_MINUTE, 48000), "webm", "libopus", 48000),
    "m4a": lambda: encode(HALF_A_MINUTE, "mp4", "aac"),
    "aac without container": lambda: encode(HALF_A_MINUTE, "adts", "aac"),
    "mkv": lambda: encode(HALF_A_MINUTE, "matroska", "flac", video=True),
    "mpeg-ts with video": lambda: encode(resampled(HALF_A_MINUTE, 48000), "mpegts", "aac", 48000, video=True),
    "wma": lambda: encode(resampled(HALF_A_MINUTE, 44100), "asf", "wmav2", 44100),
}


@pytest.mark.parametrize("name", LONG)
def test_damage_in_the_middle_of_a_file_costs_no_more_than_what_is_near(name):
    data = LONG[name]()
    middle, size = len(data) // 2, len(data) // 50
    got = audio(data[:middle] + np.random.default_rng(1).bytes(size) + data[middle + size :])
    part = len(HALF_A_MINUTE) * 4 // 10
    assert likeness(got[:part], HALF_A_MINUTE[:part]) > 0.97
    assert likeness(got[-part:], HALF_A_MINUTE[-part:]) > 0.97


@pytest.mark.parametrize(
    "name", ["mp3", "flac", "ogg vorbis", "ogg opus", "aac without container", "mpeg-ts with video"]
)
def test_files_joined_end_to_end_are_read_to_the_end(name):
    data = FILES[name]()
    got = audio(data + data)
    assert len(got) > 1.95 * len(SPEECH)
    assert likeness(got[-len(SPEECH) :], SPEECH) > 0.97


def test_joined_ogg_files_of_different_rates_and_channels_are_one_recording():
    low = wav(resampled(SPEECH, 8000), 8000, container="OGG", subtype="VORBIS")
    high = wav(resampled(SPEECH, 44100), 44100, channels=2, container="OGG", subtype="VORBIS")
    got = audio(low + high)
    assert likeness(got[: len(SPEECH)], SPEECH) > 0.97
    assert likeness(got[-len(SPEECH) :], SPEECH) > 0.97


def test_an_mp3_that_begins_inside_a_frame_is_read():
    data = FILES["mp3, 44.1 kHz stereo"]()
    cut = data[len(data) // 4 + 77 :]
    got = audio(cut)
    assert likeness(got, SPEECH[-len(got) :]) > 0.97


def test_an_mp3_behind_a_picture_tag_is_read():
    tag = b"ID3\x04\0\0" + bytes([0, 5, 0, 0]) + b"APIC" + np.random.default_rng(1).bytes(5 * 2**14 - 4)
    assert likeness(audio(tag + FILES["mp3"]()), SPEECH) > 0.97


def sound(samples: NDArray[np.float32]) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    return frame


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_tracks_the_default_one_is_heard(default):
    file = io.BytesIO()
    tracks = [SPEECH, clip("espeak-mix-1")]
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream("flac", rate=SAMPLE_RATE, layout="mono") for _ in tracks]
        streams[default].disposition = av.stream.Disposition.default
        for stream, samples in zip(streams, tracks, strict=True):
            output.mux([*stream.encode(sound(samples)), *stream.encode()])
    np.testing.assert_array_equal(audio(file.getvalue()), tracks[default])


def film(sounding: NDArray[np.float32]) -> bytes:
    """Return an MPEG transport stream of 20 s, all of whose sound comes after the pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        picture, track = output.add_stream("mpeg2video", rate=25), output.add_stream("aac", rate=SAMPLE_RATE)
        picture.width, picture.height, picture.pix_fmt, track.layout = 64, 48, "yuv420p", "mono"
        for _ in range(20 * 25):
            output.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        output.mux(picture.encode())
        if len(sounding):
            output.mux([*track.encode(sound(sounding)), *track.encode()])
    return file.getvalue()


def test_sound_that_sets_in_late_in_a_film_is_heard():
    assert likeness(audio(film(SPEECH)), SPEECH) > 0.97


def test_a_track_without_sound_is_empty():
    with pytest.raises(EmptyAudio):
        audio(film(SPEECH[:0]))


# Nothing to hear


def silent_movie() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        wav(SPEECH[:0]),
        wav(SPEECH[:0], subtype="FLOAT"),
        wav(SPEECH[:0], container="FLAC"),
        wav(SPEECH[:0], container="AIFF"),
        wav(SPEECH)[:40] + b"\xff\xff\xff\xff",
    ],
    ids=["nothing", "WAV", "float WAV, which has a time in it", "FLAC", "AIFF", "unfinished WAV"],
)
def test_a_file_without_a_sample_is_empty(data):
    with pytest.raises(EmptyAudio, match=r"^The .* is empty.*\.$"):
        audio(data)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x02\x03"])
def test_headerless_pcm_without_a_whole_frame_is_empty(data):
    with pytest.raises(EmptyAudio):
        audio(data, PcmFormat(channels=2))


NOT_AUDIO = {
    "text": b"The free lunch is over.\n" * 1000,
    "json": b'{"audio": "none"}',
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde" + b"\0" * 1000,
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01" + np.random.default_rng(3).bytes(5000),
    "pdf": b"%PDF-1.7\n" + b"\0" * 5000,
    "zip": b"PK\x03\x04" + np.random.default_rng(4).bytes(5000),
    "webp": b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 100,
    "noise": np.random.default_rng(5).bytes(200_000),
    "zeros": b"\0" * 100_000,
    "one byte": b"R",
    "wav header cut": wav(SPEECH)[:30],
    "wav of nonsense": wav(SPEECH)[:12] + b"\xff" * 1000,
    "mp4 of nonsense": b"\0\0\0\x20ftypisom" + np.random.default_rng(6).bytes(5000),
    "webm of nonsense": b"\x1a\x45\xdf\xa3" + np.random.default_rng(7).bytes(5000),
    "flac of nonsense": b"fLaC" + np.random.default_rng(8).bytes(5000),
    "ogg of nonsense": b"OggS\0" + np.random.default_rng(9).bytes(5000),
    "mp3 tag alone": b"ID3\x04\0\0\0\0\x08\0" + b"\0" * 1024,
    "m4a cut before its header": encode(SPEECH, "mp4", "aac")[:10_000],
    "film without sound": silent_movie(),
    "wav of 4 kHz": wav(SPEECH, 4000),
    "wav of 9 channels": wav(np.zeros((100, 9))),
    "flac in matroska of 200 kHz": encode(SPEECH, "matroska", "flac", 200_000),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_what_is_no_audio_is_refused_with_a_sentence_for_its_sender(name):
    with pytest.raises(InvalidAudio, match=r"^The .*\.$") as caught:
        audio(NOT_AUDIO[name])
    assert not re.search(r"Errno|<|0x|Error|avcodec|_io|libsndfile|FFmpeg|None", caught.value.message)
    assert caught.value.param == "file"


def test_a_film_without_sound_is_told_so():
    with pytest.raises(InvalidAudio, match="no audio track"):
        audio(silent_movie())


def hls(target: object) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n".encode()


def concat(target: object) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def test_playlists_and_scripts_open_no_file_and_no_connection(tmp_path):
    named = tmp_path / "speech.aac"
    named.write_bytes(encode(SPEECH, "adts", "aac"))
    lax_hls = {"allowed_extensions": "ALL", "extension_picky": "0"}
    for script, demuxer, lax in [(hls(named), "hls", lax_hls), (concat(named), "concat", {"safe": "0"})]:
        with av.open(io.BytesIO(script), format=demuxer, options=lax) as unguarded:  # so there is something to guard
            assert unguarded.streams.audio
        with pytest.raises(InvalidAudio):
            audio(script)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/speech.aac"
        for script in (hls(url), concat(url)):
            with pytest.raises(InvalidAudio):
                audio(script)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@each_file
def test_damage_is_not_reported_on_stderr(name, capfd):
    data = bytearray(FILES[name]())
    rng = np.random.default_rng(2)
    for at in rng.integers(0, len(data), 50):
        data[at] = rng.integers(256)
    for end in (len(data), len(data) // 2, 100):
        with suppress(ServiceError):
            decode(bytes(data[:end]), max_seconds=60)
    assert capfd.readouterr() == ("", "")


# Length


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_exactly_the_longest_audio_is_allowed_and_more_is_not(rate, container):
    samples = np.resize(SPEECH, 3 * rate + 2)
    assert len(decode(wav(samples[:-2], rate, container=container), max_seconds=3)) == 3 * SAMPLE_RATE
    with pytest.raises(AudioTooLong) as caught:
        decode(wav(np.resize(SPEECH, 3 * rate + rate // 1000), rate, container=container), max_seconds=3)
    assert caught.value.message == (
        "The audio is longer than 3 s, the limit of this server (PARAKEET_MAX_AUDIO_SECONDS)."
    )


def test_headerless_pcm_beyond_the_limit_is_too_long():
    assert len(decode(pcm16(SPEECH[:1600]), max_seconds=0.1, pcm=PcmFormat())) == 1600
    with pytest.raises(AudioTooLong, match=r"longer than 0\.1 s"):
        decode(pcm16(SPEECH[:1601]), max_seconds=0.1, pcm=PcmFormat())


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
        np.testing.assert_array_equal(np.concatenate(list(decode_blocks(make()))), audio(make()))


# What is a container


@each_file
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


# Robustness

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
        assert len(audio(data))


@given(st.binary(max_size=500), st.sampled_from(RATES), st.integers(1, 8))
@settings(max_examples=50)
def test_any_bytes_are_headerless_pcm_unless_there_is_no_frame(data, rate, channels):
    frames = len(data) // (2 * channels)
    if frames:
        assert len(audio(data, PcmFormat(rate, channels))) == -(-frames * SAMPLE_RATE // rate)
    else:
        with pytest.raises(EmptyAudio):
            audio(data, PcmFormat(rate, channels))


def test_threads_decode_at_the_same_time():
    wanted = {name: audio(make()) for name, make in FILES.items()}
    with ThreadPoolExecutor(8) as pool:
        for name, samples in zip(SEEDS, pool.map(lambda name: audio(FILES[name]()), SEEDS), strict=True):
            np.testing.assert_array_equal(samples, wanted[name])


def test_importing_the_decoder_loads_neither_ffmpeg_nor_librosa():
    code = "import sys, src.audio.decode; print(*{'av', 'librosa', 'numba', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CLIPS.parents[1])
    assert run.stdout.strip() == ""
