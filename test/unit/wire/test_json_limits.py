"""Base64 as encoders write it, and limits on JSON."""

import base64
import binascii
import json

import numpy as np
import pytest

from src.wire.json_limits import (
    MAX_ESCAPES,
    MAX_VALUES,
    SLICE,
    decode_base64,
    decode_json_string,
    has_too_many_escapes,
    has_too_many_values,
)

RAW = np.random.default_rng(0).bytes(3 * SLICE // 4 + 10_000)
"""More than one part, and with every character of both alphabets."""


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
        "A" * (SLICE - 2) + "==" + "QUJD",  # padding where two slices meet
    ],
)
def test_anything_else_is_no_base64(text):
    with pytest.raises((binascii.Error, UnicodeEncodeError)):
        decode_base64(text)


@pytest.mark.parametrize("before", range(8))
@pytest.mark.parametrize("escape", ["\\u0041", "\\/", "\\r\\n"])
def test_an_escape_may_be_where_a_string_is_cut(before, escape):
    encoded = "x" * (SLICE - before) + escape * 20 + "y" * SLICE + escape
    assert decode_json_string(f'x"{encoded}" '.encode(), 2, len(encoded) + 2).decode() == json.loads(f'"{encoded}"')


def test_a_cut_escape_is_no_json():
    with pytest.raises(ValueError, match="line 1"):
        decode_json_string(b'"\\u00"', 1, 5)


@pytest.mark.parametrize("item", ["1,", "[],", '{"a":1},', "[[[["])
@pytest.mark.parametrize("as_text", [str, str.encode])
def test_values_are_counted_by_commas_and_brackets(item, as_text):
    marks = sum(map(item.count, ",[{"))
    assert not has_too_many_values(as_text(item * (MAX_VALUES // marks)))
    assert has_too_many_values(as_text(item * (MAX_VALUES // marks + 1)))


def test_base64_of_any_length_is_a_single_value():
    assert not has_too_many_values("QUJD" * SLICE)
    assert not has_too_many_escapes(b"QUJD" * SLICE)


def test_text_beyond_ascii_counts_like_escapes():
    assert not has_too_many_escapes(b"\\n" * MAX_ESCAPES)
    assert has_too_many_escapes(b"\\n" * (MAX_ESCAPES + 1))
    assert has_too_many_escapes("\u00e9".encode() * (MAX_ESCAPES // 2 + 1))
