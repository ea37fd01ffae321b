"""Headerless audio in pieces: the same samples however its bytes are cut, and those of the same bytes as a file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import clip, likeness, pcm16, resampled, wav
from numpy.typing import NDArray

from src.audio.decode import PcmFormat, decode
from src.audio.pcm_stream import AudioFormat, Encoding, StreamDecoder
from src.errors import InvalidRequest

SPEECH = clip("flite-slt-1")
PCM_RATES = [8000, 11025, 16000, 24000, 44100, 48000]
FORMATS = [
    *(AudioFormat(Encoding.PCM16, rate) for rate in PCM_RATES),
    AudioFormat(Encoding.MULAW, 8000),
    AudioFormat(Encoding.ALAW, 8000),
]


def streamed(decoder: StreamDecoder, pieces: list[bytes]) -> NDArray[np.float32]:
    return np.concatenate([*map(decoder.feed, pieces), decoder.finish()])


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("rate", PCM_RATES)
@pytest.mark.parametrize("size", [1, 33, 960, 10**9])
def test_pcm_in_parts_gives_the_same_samples_as_in_a_file(rate, size):
    data = pcm16(resampled(SPEECH, rate)[: rate // 2])
    got = streamed(StreamDecoder(AudioFormat(Encoding.PCM16, rate)), pieces(data, size))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, decode(data, pcm=PcmFormat(rate)))


@pytest.mark.parametrize(("encoding", "subtype"), [(Encoding.MULAW, "ULAW"), (Encoding.ALAW, "ALAW")])
def test_telephone_audio_gives_the_same_samples_as_in_a_file(encoding, subtype):
    telephone = resampled(SPEECH, 8000)
    data = wav(telephone, 8000, subtype=subtype, container="RAW")
    assert len(data) == len(telephone)
    got = streamed(StreamDecoder(AudioFormat(encoding, 8000)), pieces(data, 160))
    np.testing.assert_array_equal(got, decode(wav(telephone, 8000, subtype=subtype)))
    assert likeness(got, SPEECH) > 0.95


@given(st.sampled_from(FORMATS), st.lists(st.binary(max_size=2000), max_size=10))
@settings(max_examples=100)
def test_any_bytes_cut_anywhere_give_the_samples_of_the_whole(form, data):
    whole = streamed(StreamDecoder(form), [b"".join(data)])
    np.testing.assert_array_equal(streamed(StreamDecoder(form), data), whole)
    assert len(whole) == -(-(len(b"".join(data)) // (form.bytes_per_second // form.rate)) * 16_000 // form.rate)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_finished_stream_does_not_affect_the_next_one(form):
    data = pcm16(SPEECH[5000:20_000])
    decoder = StreamDecoder(form)
    first = streamed(decoder, [data, b"\x7f"] if form.encoding is Encoding.PCM16 else [data])
    np.testing.assert_array_equal(streamed(decoder, [data]), first)
    assert len(streamed(decoder, [])) == 0


def test_at_16_khz_every_whole_sample_is_given_at_once():
    decoder = StreamDecoder(AudioFormat(Encoding.PCM16, 16_000))
    assert [len(decoder.feed(data)) for data in (b"\0", b"\0", b"\0\0\0", b"", b"\0")] == [0, 1, 1, 0, 1]


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("rate", [-8000, 0, 7999, 48_001, 192_000])
def test_a_rate_out_of_range_is_rejected_with_a_message(encoding, rate):
    with pytest.raises(InvalidRequest, match=rf"^.*Hz.*, not {rate}\.$") as caught:
        AudioFormat(encoding, rate)
    assert caught.value.param == "rate"


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
def test_telephone_audio_has_only_its_own_rate(encoding):
    with pytest.raises(InvalidRequest, match=rf"^{encoding.value} has a rate of 8000 Hz, not 16000\.$"):
        AudioFormat(encoding, 16_000)


def test_a_second_has_its_bytes():
    assert AudioFormat(Encoding.PCM16, 24_000).bytes_per_second == 48_000
    assert AudioFormat(Encoding.MULAW, 8000).bytes_per_second == 8000
    assert AudioFormat(Encoding.ALAW, 8000).bytes_per_second == 8000
