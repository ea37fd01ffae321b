"""Multipart bodies that hypothesis makes up, in order and out of it, and some that are too much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Multipart:
    """A body and the content type that it is sent under, in form or not."""

    content_type: bytes
    body: bytes


def mostly(usual: Any, odd: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Return what is right as a rule, or something else: bodies that are wrong all over are refused at once."""
    return st.integers(0, 5).flatmap(lambda luck: st.just(usual) if luck else st.sampled_from(odd))


BOUNDARIES = st.sampled_from(
    [b"b", b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"x" * 70, b"y" * 5_000, b"-", b"a'()+_,./:=? b"]
)
CHARSETS = [
    "utf-8",
    "utf-7",
    "utf-16",
    "latin-1",
    "undefined",
    "idna",
    "punycode",
    "hex",
    "rot13",
    "unicode_escape",
    "?",
]
DECLARED = [
    b"multipart/form-data; boundary=%s",
    b'multipart/form-data; boundary="%s"',
    b"Multipart/Form-Data;BOUNDARY=%s;",
    b"multipart/mixed; boundary=%s",
    b"multipart/form-data; boundary=other; boundary=%s",
    b"multipart/form-data; boundary=other",
    b"multipart/form-data; boundary=",
    b"multipart/form-data",
    b"multipart/",
    b"multipart/form-data; boundary*=utf-8''%s",
    b"multipart/form-data; boundary*0=%s; boundary*1=x",
    b"multipart/form-data; boundary=%s" + b"; a=b" * 500,
    *(b"multipart/form-data; boundary=%%s; charset=%s" % charset.encode() for charset in CHARSETS),
]
"""Content types, most of them with a place for the boundary."""
NAMES = [
    "model",
    "language",
    "stream",
    "prompt",
    "keywords[]",
    "chunking_strategy[type]",
    "",
    "x" * 3_000,
]
FILE_NAMES = [
    '; filename="speech.wav"',
    "",
    "; filename=speech.wav",
    '; filename=""',
    "; filename=",
    '; filename="a\\"b\\\\c.wav"',
    '; filename="C:\\temp\\a.wav"',
    '; filename="../../etc/passwd"',
    '; filename="unfinished',
    "; filename*=UTF-8''na%C3%AFve.wav",
    "; filename*=utf-7''%FF%00%",
    "; filename*=undefined''x",
    "; filename*=nothing",
    "; filename*0=a; filename*1=.wav",
    "; filename=a; filename=b",
    '; filename="\u00fc\u20ac\U0001f600.wav"',
    "; filename=" + "x" * 9_000,
]
EXTRA_HEADERS = [
    b"Content-Type: audio/wav",
    b"Content-Type: audio/pcm;rate=8000;channels=2",
    b"Content-Type: audio/l16;rate=x",
    b"Content-Type: multipart/mixed; boundary=inner",
    b"Content-Type: text/plain; charset=undefined",
    b"Content-Transfer-Encoding: base64",
    b"Content-Length: 99999999999999999999",
    b"Content-Disposition: attachment",
    b"no colon here",
    b": no name",
    b"",
    b" folded: line",
    b"\xff\xfe: \x80",
    b"X: " + b"y" * 20_000,
    b"X" * 20_000 + b": y",
]
ENDS = mostly(b"\r\n", [b"\n", b"\r", b"\n\r"])


CONTENTS = [b"", b"true", b"whisper-1", b"\r\n--b", b"--inner\r\n\r\nx\r\n--inner--", b"\xff" * 50]


@st.composite
def parts(draw: st.DrawFn, wav: bytes) -> bytes:
    """Make the headers and the content of a part."""
    ends = draw(ENDS)
    name = draw(mostly("file", NAMES))
    file_name = draw(mostly(FILE_NAMES[0], FILE_NAMES))
    headers = [f'Content-Disposition: form-data; name="{name}"{file_name}'.encode()]
    headers += draw(mostly([], [[header] for header in EXTRA_HEADERS]))
    part: bytes = ends.join([*headers, b"", draw(mostly(wav, CONTENTS))])
    return part


@st.composite
def multiparts(draw: st.DrawFn, wav: bytes) -> Multipart:
    """Make a form, in order or not; `wav` is the audio that most of its files have."""
    boundary, declared, ends = draw(BOUNDARIES), draw(mostly(DECLARED[0], DECLARED)), draw(ENDS)
    content_type = declared % boundary if b"%s" in declared else declared
    opening = b"--" + boundary
    pieces = [draw(mostly(b"", [b"preamble" + ends]))]
    pieces += [opening + ends + part + ends for part in draw(st.lists(parts(wav), max_size=4))]
    pieces.append(opening + draw(mostly(b"--" + ends, [b"--", b"", b"-", b"--epilogue"])))
    body = b"".join(pieces)
    return Multipart(content_type, body[: draw(mostly(len(body), range(len(body))))])


def form_data(body: bytes, charset: bytes = b"") -> Multipart:
    """Return a body whose boundary is `b`."""
    return Multipart(b"multipart/form-data; boundary=b" + (b"; charset=" + charset if charset else b""), body)


def field(value: bytes, name: bytes = b"x") -> bytes:
    """Return a text part behind the boundary `b`."""
    return b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)


FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
END = b"--b--\r\n"
EXTREMES: dict[str, Callable[[], Multipart]] = {
    "a million fields": lambda: form_data(field(b"") * 1_000_000),
    "a thousand files": lambda: form_data((FILE + b"x\r\n") * 1_000),
    "a field of 2 MB": lambda: form_data(field(b"y" * (2 << 20)) + END),
    "a name of 2 MB": lambda: form_data(field(b"", b"y" * (2 << 20)) + END),
    "a header of 8 MB": lambda: form_data(b"--b\r\nX: " + b"y" * (8 << 20)),
    "a million headers": lambda: form_data(b"--b\r\n" + b"X: y\r\n" * 1_000_000),
    "a header without end": lambda: form_data(b"--b\r\n" + b"X" * (1 << 20)),
    "a preamble of 8 MB": lambda: form_data(b"y" * (8 << 20)),
    "a million near boundaries": lambda: form_data(FILE + b"\r\n--\r\n-\r\n--a" * 500_000),
    "a million boundaries": lambda: form_data(b"--b\r\n" * 1_000_000),
    "an epilogue of 8 MB": lambda: form_data(FILE + b"x\r\n" + END + b"y" * (8 << 20)),
    "a boundary of 30 kB": lambda: Multipart(b"multipart/form-data; boundary=" + b"y" * 30_000, b"--" + b"y" * 30_000),
    "deep nesting": lambda: form_data(FILE + b"--c\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" * 50_000),
    "a codec that is slow": lambda: form_data(field(b"b" * 1_000_000) + END, b"punycode"),
    "a codec that fails": lambda: form_data(field(b"x") + END, b"undefined"),
    "JSON in a field": lambda: form_data(field(b"[" * 500_000, b"keywords[]") + FILE + b"x\r\n" + END),
}
"""Forms that are too much of something, by what that is; none of them has audio."""
