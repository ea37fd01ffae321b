"""Base64 as encoders write it, and limits on JSON."""

import base64
import binascii
import json

import numpy as np
import pytest

from src.wire.json_limits import BLOCK, decode_base64, decode_json_string

RAW = np.random.default_rng(0).bytes(3 * BLOCK // 4 + 10_000)
"""More than one block, and with every character of both alphabets."""


def lines(encoded: str) -> str:
    return "\r\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))


ENCODERS = {
    "plain": lambda raw: base64.b64encode(raw).decode(),
    "MIME's lines": lambda raw: lines(base64.b64encode(raw).decode()) + "\r\n",
    "spaces": lambda raw: " ".join(base64.b64encode(raw).decode()[:40]) + base64.b64encode(raw).decode()[40:],
    "no padding": lambda raw: base64.b64encode(raw).decode().rstrip("="),
    "for URLs": lambda raw: base64.urlsafe_b64encode(raw).decode(),
    "for URLs, in lines, no padding": lambda raw: lines(base64.urlsafe_b64encode(raw).decode().rstrip("=")),
}


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1000, len(RAW)])
@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_base64_is_read_as_encoders_write_it(encode, length):
    assert decode_base64(encode(RAW[:length])) == RAW[:length]


@pytest.mark.parametrize(
    "text",
    [
        *("Q", "QUJDR", "QUJD=", "QQ===", "=", "====", "Q=Q=", "QQ==QQ==", "*QQ=", "QUJD.", "é", "\ud800", "QQ==\0"),
        "A" * (BLOCK - 2) + "==" + "QUJD",  # padding where two blocks meet
    ],
)
def test_anything_else_is_no_base64(text):
    with pytest.raises((binascii.Error, UnicodeEncodeError)):
        decode_base64(text)


@pytest.mark.parametrize("before", range(8))
@pytest.mark.parametrize("escape", ["\\u0041", "\\/", "\\r\\n"])
def test_an_escape_may_be_where_a_string_is_cut(before, escape):
    encoded = "x" * (BLOCK - before) + escape * 20 + "y" * BLOCK + escape
    assert decode_json_string(f'x"{encoded}" '.encode(), 2, len(encoded) + 2).decode() == json.loads(f'"{encoded}"')
