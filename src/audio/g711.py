"""Decode the two codecs of telephony with 8 bits per sample, ITU-T G.711 mu-law and A-law.

A code has a sign, three bits of exponent and four of mantissa, like a small floating point number. The values are those
of the standard's tables 1a to 2b, shifted left to 16 bits (mu-law by 2, A-law by 3), as in every decoder.
"""

import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32_768
AU_MULAW = 1
AU_ALAW = 27
"""The numbers of the two codecs in Sun's `.au` files."""
AU_HEADER = struct.Struct(">4sIIIII")
"""The header of an `.au` file: magic, header size, data size, encoding, sample rate, channels."""
MU_BIAS = 33 << 2
"""The bias that mu-law adds to a magnitude before the logarithm: 33 in the standard's 14 bits."""


def decode_mulaw(data: bytes) -> NDArray[np.float32]:
    """Return the samples of mu-law bytes (samples,). Full scale is 1; the largest value is 32124 / 32768."""
    return _mulaw()[np.frombuffer(data, np.uint8)]


def decode_alaw(data: bytes) -> NDArray[np.float32]:
    """Return the samples of A-law bytes (samples,). Full scale is 1; the largest value is 32256 / 32768."""
    return _alaw()[np.frombuffer(data, np.uint8)]


def au_file(data: bytes, code: int, rate: int, channels: int) -> bytes:
    """Return headerless G.711 bytes as an `.au` file, which any decoder reads.

    Args:
        data: the bytes, channels interleaved.
        code: `AU_MULAW` or `AU_ALAW`.
        rate: the sample rate in Hz.
        channels: the number of channels.
    """
    header = AU_HEADER.pack(b".snd", AU_HEADER.size, min(len(data), 0xFFFFFFFE), code, rate, channels)
    return b"".join([header, data])


@cache
def _mulaw() -> NDArray[np.float32]:
    """Return the sample of each code (256,)."""
    codes = np.arange(256) ^ 0xFF  # all bits are sent inverted
    magnitudes = ((_mantissas(codes) << 3) + MU_BIAS << _exponents(codes)) - MU_BIAS
    return _samples(np.where(codes < 128, magnitudes, -magnitudes))


@cache
def _alaw() -> NDArray[np.float32]:
    """Return the sample of each code (256,)."""
    codes = np.arange(256) ^ 0x55  # every second bit is sent inverted
    exponents = _exponents(codes)
    fractions = (_mantissas(codes) << 4) + 8
    # As in any floating point format, the lowest exponent has no leading 1, and the next one has the same step size.
    magnitudes = np.where(exponents, fractions + 256 << np.maximum(exponents, 1) - 1, fractions)
    return _samples(np.where(codes < 128, -magnitudes, magnitudes))


def _exponents(codes: NDArray[np.int_]) -> NDArray[np.int_]:
    return codes >> 4 & 7


def _mantissas(codes: NDArray[np.int_]) -> NDArray[np.int_]:
    return codes & 15


def _samples(values: NDArray[np.int_]) -> NDArray[np.float32]:
    return (values / FULL_SCALE).astype(np.float32)
