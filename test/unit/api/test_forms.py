"""Multipart bodies as clients write them, in order and not."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.forms import MAX_HEADERS_BYTES, MAX_PARTS, parse_form, parse_parameters
from src.errors import InvalidRequest

FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
FIELD = b'Content-Disposition: form-data; name="model"\r\n\r\n'
AUDIO = b"RIFF\r\n--\r\n--b\n\r\n\r\n-- b\r\n--bc\r\n"
"""What looks like boundaries, of which `b2` would be one."""
WANTED = [("file", True, "audio/wav", AUDIO), ("model", False, "", b"whisper-1")]


def read(body: bytes, boundary: bytes = b"b2") -> list[tuple[str, bool, str, bytes]]:
    """Name, kind, type and content of each part."""
    return [
        (part.name.decode(), part.is_file, part.content_type.decode(), body[part.start : part.end])
        for part in parse_form(body, boundary)
    ]


def form(*parts: bytes, end: bytes = b"--b2--\r\n", preamble: bytes = b"") -> bytes:
    return preamble + b"".join(b"--b2\r\n" + part + b"\r\n" for part in parts) + end


USUAL = form(FILE + AUDIO, FIELD + b"whisper-1")


@pytest.mark.parametrize(
    "body",
    [
        USUAL,
        b"\r\n" + USUAL,
        b"\n\n" + USUAL,
        b"This is a message in MIME format.\r\n" + USUAL,
        b"--b\r\nNo boundary.\n" + USUAL,
        USUAL + b"An epilogue.\r\n--b2\r\n" + FIELD,
        USUAL.removesuffix(b"\r\n"),
        USUAL.removesuffix(b"\r\n--b2--\r\n"),
        USUAL.removesuffix(b"--\r\n"),
        USUAL + b"--b2\r\nContent-Disposition: form-da",
        form(FILE + AUDIO, FIELD + b"whisper-1", end=b"--b2\r\nContent-Disposition: form-da"),
        USUAL.replace(b"--b2\r\n", b"--b2 \t\r\n"),
        USUAL.replace(b"Content-Disposition: form-data", b"content-disposition:form-data"),
        USUAL.replace(b"; name", b";\r\n\tname"),
        USUAL.replace(b"; ", b" ; "),
        USUAL.replace(b'"model"', b"model"),
    ],
)
def test_a_form_is_read_however_it_is_written(body):
    assert read(body) == WANTED


def test_lines_may_end_in_a_bare_line_feed():
    body = b'--b\nContent-Disposition: x; name="model"\n\nwhisper-1\r\n--b\nContent-Disposition: x; name=a\n\n\n--b--'
    assert [content for *_, content in read(body, b"b")] == [b"whisper-1\r", b""]


@pytest.mark.parametrize(
    "file_name",
    [
        *('filename="a.wav"', "filename=a.wav", 'filename=""', "filename=", 'filename="a; name=\\"b\\".wav"'),
        *("filename*=UTF-8''na%C3%AFve.wav", "filename*=utf-8''a.wav; filename=a.wav", "FileName*0=a; filename*1=.wav"),
        *('filename="C:\\temp\\a.wav"', 'filename="unfinished', 'filename="\u00fc\u20ac.wav"'),
    ],
)
def test_a_part_with_any_file_name_is_a_file(file_name):
    head = f'Content-Disposition: form-data; name="file"; {file_name}\r\n\r\n'
    assert read(form(head.encode() + b"x")) == [("file", True, "", b"x")]


def test_parts_without_a_name_are_passed_over():
    body = form(b"\r\nx", b"Content-Disposition: form-data\r\n\r\nx", FIELD + b"y", b"no colon\r\n\r\n")
    assert read(body) == [("model", False, "", b"y")]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"x", "boundary"),
        (b"--b3\r\n" + FIELD, "boundary"),
        (b"--b2x\r\n" * (MAX_PARTS + 1), "parts"),
        (form(*[FIELD] * (MAX_PARTS + 1)), "parts"),
        (form(b"X: " + b"y" * MAX_HEADERS_BYTES + b"\r\n\r\n"), "headers"),
        (form(*[b"X: " + b"y" * (MAX_HEADERS_BYTES // 100) + b"\r\n\r\n"] * 100), "headers"),
        (b"--b2\r\nX: " + b"y" * MAX_HEADERS_BYTES, "headers"),
    ],
)
def test_what_cannot_be_read_is_named(body, what):
    with pytest.raises(InvalidRequest, match=what):
        parse_form(body, b"b2")


@given(st.lists(st.binary() | st.sampled_from([b"\r\n--", b"\r", b"\n", b"\r\n\r\n"]), max_size=5), st.booleans())
def test_any_content_comes_back_as_it_was_sent(contents, ends):
    parts = [(f"f{number}", content) for number, content in enumerate(contents)]
    encoded = httpx.Request("POST", "http://x", files=[(name, ("a", content)) for name, content in parts] or {"x": b""})
    _, parameters = parse_parameters(encoded.headers["content-type"].encode())
    body = encoded.read()
    if not ends:
        body = body[: body.rindex(b"\r\n--")]
    found = [(name, content) for name, _, _, content in read(body, parameters[b"boundary"])]
    assert found == (parts or [("x", b"")])


@pytest.mark.parametrize(
    ("header", "value", "parameters"),
    [
        ('audio/L16; Rate=16000 ;channels="2"', "audio/l16", {"rate": "16000", "channels": "2"}),
        ('a/b; c="d;e=\\"f"; g', "a/b", {"c": 'd;e="f'}),
        ("multipart/form-data; boundary=a'()+_,./:=? b", "multipart/form-data", {"boundary": "a'()+_,./:=? b"}),
        ("a/b; c=1; C=2", "a/b", {"c": "2"}),
        ('a/b; c="unfinished; d=1', "a/b", {"c": '"unfinished', "d": "1"}),
        ("", "", {}),
    ],
)
def test_a_header_has_a_value_and_parameters(header, value, parameters):
    value_read, given_ones = parse_parameters(header.encode())
    assert (value_read.decode(), {name.decode(): each.decode() for name, each in given_ones.items()}) == (
        value,
        parameters,
    )
