import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import SAMPLE_RATE, encode, likeness, pcm16, resampled, wav
from media_files import (
    FMT,
    LOSSLESS,
    LOSSY,
    RATES,
    SPEECH,
    channels_of_their_own,
    chunk,
    decoded,
    silent_movie,
    with_peak_memory,
)
from numpy.typing import NDArray

from src.audio.decode import MAX_SHORT_S, PcmFormat, decode, plain_pcm, scale_if_short
from src.errors import AudioTooLong, EmptyAudio, InvalidAudio, InvalidRequest


def snr_db(got: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum()))


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_give_their_samples_exactly(name):
    np.testing.assert_array_equal(decoded(LOSSLESS[name]()), SPEECH)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_give_the_speech_that_went_in(name):
    make, least = LOSSY[name]
    samples = decoded(make())
    assert likeness(samples, SPEECH) > least
    assert abs(len(samples) - len(SPEECH)) < 0.1 * SAMPLE_RATE


@pytest.mark.parametrize(("subtype", "least_db"), [("PCM_U8", 25), ("ALAW", 30), ("ULAW", 30)])
def test_eight_bit_formats_keep_level_and_sign(subtype, least_db):
    assert snr_db(decoded(wav(SPEECH, subtype=subtype)), SPEECH) > least_db


def test_headerless_pcm_gives_its_samples_exactly():
    np.testing.assert_array_equal(decoded(pcm16(SPEECH), PcmFormat()), SPEECH)


@pytest.mark.parametrize("rate", RATES)
def test_headerless_pcm_has_the_declared_rate_and_channels(rate):
    stereo = np.stack([resampled(SPEECH, rate)] * 2, axis=1)
    got = decoded(pcm16(stereo), PcmFormat(rate=rate, channels=2))
    assert likeness(got, SPEECH) > 0.99


@pytest.mark.parametrize("count", range(1, 9))
def test_channels_are_mixed_by_their_mean(count):
    channels = channels_of_their_own(count)
    wanted = channels.mean(axis=1)
    for data in (wav(channels), wav(channels, subtype="FLOAT"), wav(channels, container="FLAC")):
        np.testing.assert_allclose(decoded(data), wanted, atol=1e-6)
    np.testing.assert_allclose(decoded(pcm16(channels), PcmFormat(channels=count)), wanted, atol=1e-6)


@pytest.mark.parametrize("count", [2, 6, 8])
def test_channels_that_a_codec_keeps_apart_are_mixed_by_their_mean(count):
    channels = channels_of_their_own(count)
    data = encode(channels, "wv", "wavpack", channels=count)
    np.testing.assert_allclose(decoded(data), channels.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_nan_and_infinite_samples_become_silence(subtype):
    broken = np.stack([SPEECH, SPEECH], axis=1).astype(float)
    broken[100:200, 0] = np.nan
    broken[300:400] = np.inf
    broken[500:600] = -np.inf
    wanted = SPEECH.copy()
    wanted[100:200] /= 2
    wanted[300:400] = wanted[500:600] = 0
    np.testing.assert_array_equal(decoded(wav(broken, subtype=subtype)), wanted)
    np.testing.assert_array_equal(decoded(wav(broken, subtype=subtype, container="CAF")), wanted)


@pytest.mark.parametrize("loudness", [2.5, 2.0**15, 2.0**31])
def test_floats_beyond_full_scale_are_not_clipped(loudness):
    loud = SPEECH / np.abs(SPEECH).max() * np.float32(loudness)
    np.testing.assert_array_equal(decoded(wav(loud, subtype="FLOAT")), loud)


@pytest.mark.parametrize("container", ["WAV", "CAF"])
def test_absurdly_large_floats_are_limited_so_that_arithmetic_stays_finite(container):
    absurd = SPEECH.astype(float)
    absurd[100], absurd[200] = 1e30, -1e300
    got = decoded(wav(absurd, subtype="DOUBLE", container=container))
    np.testing.assert_array_equal(np.delete(got, [100, 200]), np.delete(SPEECH, [100, 200]))
    assert np.isfinite(np.square(got * np.float32(512))).all()


def test_silence_stays_silence():
    np.testing.assert_array_equal(decoded(wav(np.zeros(1600))), np.zeros(1600))


@pytest.mark.parametrize("seconds", [1 / SAMPLE_RATE, 1, 30])
def test_short_mono_at_16_khz_is_scaled_at_once_to_the_same_samples_as_in_blocks(seconds):
    samples = np.resize(SPEECH, round(seconds * SAMPLE_RATE))
    pcm = pcm16(samples)
    for data, form in ((pcm, PcmFormat()), (pcm + b"a", PcmFormat()), (wav(samples), None)):
        quick = scale_if_short(plain_pcm(data, form), max_s=30)
        assert quick.dtype == np.float32
        np.testing.assert_array_equal(quick, decoded(data, form))


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
def test_other_audio_is_not_scaled_at_once(seconds, form, max_s):
    samples = np.zeros((round(seconds * form.rate), form.channels), np.float32)
    assert scale_if_short(plain_pcm(pcm16(samples), form), max_s) is None
    assert scale_if_short(plain_pcm(wav(samples, form.rate, form.channels)), max_s) is None


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_torn_last_frame_of_headerless_pcm_is_dropped(torn):
    stereo = pcm16(np.stack([SPEECH, SPEECH], axis=1))
    np.testing.assert_array_equal(decoded(stereo + b"\x7f" * torn, PcmFormat(channels=2)), SPEECH)


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


@pytest.mark.parametrize(
    "riff_and_data_bytes", [(0, 0), (36, 0), (2**32 - 1, 2**32 - 1), (2**31 - 1, 2**31 - 37), (0, 2**32 - 1)]
)
@pytest.mark.parametrize("info", [b"", b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf61.7.100\0\0"])
def test_a_wav_whose_header_was_never_finished_is_read_to_its_end(riff_and_data_bytes, info):
    riff, data = (size.to_bytes(4, "little") for size in riff_and_data_bytes)
    header = wav(SPEECH)[:44]
    streamed = header[:4] + riff + header[8:36] + info + b"data" + data + pcm16(SPEECH)
    np.testing.assert_array_equal(decoded(streamed), SPEECH)


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize(
    "sizes", [chunk(b"ds64", bytes(28)), chunk(b"ds64", b"\xff" * 24 + bytes(4)), chunk(b"JUNK", bytes(28))]
)
def test_an_rf64_whose_sizes_were_never_written_is_read_to_its_end(magic, sizes):
    unknown = b"\xff" * 4
    streamed = magic + unknown + b"WAVE" + sizes + FMT + b"data" + unknown + pcm16(SPEECH)
    np.testing.assert_array_equal(decoded(streamed), SPEECH)


def test_headers_that_declare_hours_take_no_memory():
    flac = bytearray(wav(SPEECH, container="FLAC"))
    flac[21] |= 0x0F  # STREAMINFO's count of samples, 36 bits
    flac[22:26] = b"\xff" * 4
    riff = bytearray(wav(SPEECH))
    riff[40:44] = b"\xff" * 4
    caf = bytearray(wav(SPEECH, container="CAF"))
    at = caf.index(b"data") + 4
    caf[at : at + 8] = (2**62).to_bytes(8, "big")
    for data in (flac, riff, caf):
        samples, peak = with_peak_memory(lambda data=data: decoded(bytes(data)))
        np.testing.assert_array_equal(samples, SPEECH)
        assert peak < 30e6


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
        decoded(data)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x02\x03"])
def test_headerless_pcm_without_a_whole_frame_is_empty(data):
    with pytest.raises(EmptyAudio):
        decoded(data, PcmFormat(channels=2))


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
def test_files_that_are_not_audio_are_rejected_with_a_message_for_the_client(name):
    with pytest.raises(InvalidAudio, match=r"^The .*\.$") as caught:
        decoded(NOT_AUDIO[name])
    assert not re.search(r"Errno|<|0x|Error|avcodec|_io|libsndfile|FFmpeg|None", caught.value.message)
    assert caught.value.param == "file"


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


@given(st.binary(max_size=500), st.sampled_from(RATES), st.integers(1, 8))
@settings(max_examples=50)
def test_any_bytes_are_headerless_pcm_unless_there_is_no_frame(data, rate, channels):
    frames = len(data) // (2 * channels)
    if frames:
        assert len(decoded(data, PcmFormat(rate, channels))) == -(-frames * SAMPLE_RATE // rate)
    else:
        with pytest.raises(EmptyAudio):
            decoded(data, PcmFormat(rate, channels))
