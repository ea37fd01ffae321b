"""Data URLs: as clients write them, and what is none."""

import base64
import tracemalloc
from urllib.parse import unquote_to_bytes

import pytest

from src.wire.data_urls import SLICE, decode_data_url

DATA = bytes(range(256)) * 3
ENCODED = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        (f"data:audio/wav;base64,{ENCODED}", "audio/wav"),
        (f"  DATA:audio/wav;BASE64,{ENCODED}\n", "audio/wav"),
        (f"data:;base64,{ENCODED}", ""),
        (f"data:audio/pcm;rate=8000;base64,{ENCODED.rstrip('=')}", "audio/pcm;rate=8000"),
        ("data:audio/mpeg;base64," + ENCODED.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"), "audio/mpeg"),
        ("data:audio/ogg;base64," + base64.urlsafe_b64encode(DATA).decode(), "audio/ogg"),
        ("data:audio/ogg;base64," + base64.encodebytes(DATA).decode(), "audio/ogg"),
        ("data:audio/wav," + "".join(f"%{byte:02X}" for byte in DATA), "audio/wav"),
    ],
)
def test_a_data_url_has_a_type_and_its_data_however_they_are_written(url, media_type):
    assert decode_data_url(url) == (media_type, DATA)


@pytest.mark.parametrize(
    "url",
    [
        "",
        ENCODED,
        "https://example.com/anna.wav",
        "data:audio/wav;base64",
        "data:audio/wav;base64,%%%",
        "data:audio/wav;base64,UklGR",
        "data:audio/wav;base64,\u00e4",
        "data:" + "x" * 1000 + ";base64," + ENCODED,
    ],
)
def test_what_is_no_data_url_is_an_error(url):
    with pytest.raises(ValueError, match=r"data URL|base64|padding|ascii"):
        decode_data_url(url)


@pytest.mark.parametrize("at", range(SLICE - 4, SLICE + 3))
@pytest.mark.parametrize("escaped", ["%41", "%e4", "%", "%4", "%%41", "%4%41", "%41%42", "%%%", "%zz", "\u00e4%41"])
def test_an_escape_at_any_place_counts_and_a_stray_percent_sign_stays(at, escaped):
    for after in ("", "x", "y" * SLICE):
        text = "x" * at + escaped + after
        assert decode_data_url(f"data:,{text}").data == unquote_to_bytes(text)


def test_many_escapes_take_little_memory():
    url = "data:audio/wav," + "%41" * 2**18
    tracemalloc.start()
    try:
        assert decode_data_url(url).data == b"A" * 2**18
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
