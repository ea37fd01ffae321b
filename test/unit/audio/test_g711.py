"""Mu-law and A-law: the values of the standard, which are FFmpeg's too."""

import av
import numpy as np
import pytest

from src.audio.g711 import decode_alaw, decode_mulaw

CODES = bytes(range(256))
DECODERS = {"pcm_mulaw": decode_mulaw, "pcm_alaw": decode_alaw}


@pytest.mark.parametrize("name", DECODERS)
def test_every_code_has_the_value_that_ffmpeg_gives_it(name):
    context = av.CodecContext.create(name, "r")
    context.sample_rate, context.layout = 8000, "mono"
    (frame,) = context.decode(av.Packet(CODES))
    samples = DECODERS[name](CODES)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples * 32768, frame.to_ndarray()[0])


# ITU-T G.711 (11/1988): the decoder's values of the first code of each segment, tables 1a (A-law, 13 bits, codes before
# every second bit is inverted) and 2a (mu-law, 14 bits).
ALAW = {0x80: 1, 0xA0: 66, 0xB0: 132, 0xC0: 264, 0xD0: 528, 0xE0: 1056, 0xF0: 2112, 0xFF: 4032}
MULAW = {0xFF: 0, 0xFE: 2, 0xEF: 33, 0xDF: 99, 0xCF: 231, 0xBF: 495, 0xAF: 1023, 0x9F: 2079, 0x8F: 4191, 0x80: 8031}


@pytest.mark.parametrize(("code", "value"), ALAW.items())
def test_alaw_has_the_values_of_the_standard_and_their_negatives(code, value):
    sent = bytes([code ^ 0x55, code ^ 0x55 ^ 0x80])
    np.testing.assert_array_equal(decode_alaw(sent) * 2**12, [value, -value])


@pytest.mark.parametrize(("code", "value"), MULAW.items())
def test_mulaw_has_the_values_of_the_standard_and_their_negatives(code, value):
    np.testing.assert_array_equal(decode_mulaw(bytes([code, code ^ 0x80])) * 2**13, [value, -value])


@pytest.mark.parametrize("decode", DECODERS.values())
def test_no_bytes_are_no_samples(decode):
    assert decode(b"").shape == (0,)
