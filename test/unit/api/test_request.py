"""The body of a transcription request: where its audio and its fields are."""

import base64
import json

import pytest
from in_process import request_of

from src.api.request import ContentType, TranscriptionRequest, parse_request
from src.audio.decode import PcmFormat
from src.errors import EmptyAudio, InvalidRequest, MissingFile

AUDIO = b"RIFF, say"
PCM = b"\1\0" * 100


async def parsed(*pieces: bytes, content_type: str = "", query: str = "") -> TranscriptionRequest:
    request = request_of(query=query, content_type=content_type)
    coming = list(pieces)
    try:
        return await parse_request(request, coming)
    finally:
        assert coming == [] or len(coming) == len(pieces)


def form(*parts: tuple[str, bytes]) -> bytes:
    heads = [(f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode(), content) for head, content in parts]
    return b"".join(head + content + b"\r\n" for head, content in heads) + b"--b--\r\n"


FORM = "multipart/form-data; boundary=b"
FILE = ('name="file"; filename="a.wav"', AUDIO)


@pytest.mark.parametrize("cuts", [1, 7, 1000])
async def test_the_audio_of_a_form_is_its_file_however_the_body_is_cut(cuts):
    body = form(('name="language"', b"en"), FILE, ('name="stream"', b"true"))
    pieces = [body[start : start + cuts] for start in range(0, len(body), cuts)]
    request = await parsed(*pieces, content_type=FORM)
    assert (request.upload.data, request.upload.pcm) == (AUDIO, None)
    assert (request.fields.text("language"), request.fields.flag("stream")) == ("en", True)


async def test_fields_of_the_body_win_over_those_of_the_query():
    body = form(FILE, ('name="language"', b"en"))
    request = await parsed(body, content_type=FORM, query="language=de&stream=1")
    assert (request.fields.text("language"), request.fields.flag("stream")) == ("en", True)


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
@pytest.mark.parametrize("size", [9, 2_000_000], ids=["small", "large"])
async def test_the_audio_of_json_is_base64(prefix, size):
    audio = (AUDIO * (size // len(AUDIO) + 1))[:size]
    data = prefix + base64.b64encode(audio).decode()
    body = json.dumps({"input_audio": {"data": data, "format": "wav"}, "language": "en"}).encode()
    request = await parsed(body, content_type="application/json")
    assert request.upload.data == audio
    assert request.fields.text("language") == "en"


@pytest.mark.parametrize("content_type", ["audio/wav", "video/mp4", "text/plain", "audio/wav; rate=8000"])
async def test_any_other_body_is_the_audio(content_type):
    request = await parsed(AUDIO, content_type=content_type, query="language=en")
    assert (request.upload.data, request.upload.pcm) == (AUDIO, None)
    assert request.fields.text("language") == "en"


@pytest.mark.parametrize(
    ("content_type", "query", "format"),
    [
        ("audio/pcm", "", PcmFormat(16_000, 1)),
        ("audio/l16;rate=48000;channels=2", "", PcmFormat(48_000, 2)),
        ("audio/raw", "rate=8000", PcmFormat(8_000, 1)),
        ("", "", PcmFormat(16_000, 1)),
        ("application/octet-stream", "", PcmFormat(16_000, 1)),
    ],
)
async def test_headerless_pcm_has_the_declared_format(content_type, query, format):
    request = await parsed(PCM, content_type=content_type, query=query)
    assert (request.upload.data, request.upload.pcm) == (PCM, format)


@pytest.mark.parametrize("content_type", ["audio/basic", "audio/PCMA; rate=8000"])
async def test_headerless_g711_gets_a_header(content_type):
    upload = (await parsed(PCM, content_type=content_type)).upload
    assert upload.data.startswith(b".snd")
    assert upload.data.endswith(PCM)
    assert upload.pcm is None


@pytest.mark.parametrize(
    ("body", "content_type", "error", "param"),
    [
        (b"", "", MissingFile, "file"),
        (b"", "audio/wav", EmptyAudio, "file"),
        (form(('name="language"', b"en")), FORM, MissingFile, "file"),
        (form(('name="file"', b"text")), FORM, MissingFile, "file"),
        (form(('name="file"; filename=""', b"")), FORM, EmptyAudio, "file"),
        (b"x", "multipart/form-data", InvalidRequest, "content-type"),
        (b"x", f"{FORM}; charset=utf-16", InvalidRequest, "charset"),
        (b"{}", "application/json", MissingFile, "file"),
        (b'{"input_audio": "QUJD"}', "application/json", InvalidRequest, "input_audio"),
        (b'{"input_audio": {"data": "?"}}', "application/json", InvalidRequest, "input_audio"),
        (b"{", "application/json", InvalidRequest, None),
        (PCM, "audio/pcm; rate=many", InvalidRequest, "rate"),
    ],
)
async def test_an_invalid_body_names_what_is_wrong(body, content_type, error, param):
    with pytest.raises(error) as raised:
        await parsed(body, content_type=content_type)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("header", "name", "parameters"),
    [
        (b"Audio/L16; Rate=8000", "audio/l16", {"rate": "8000"}),
        (b'multipart/form-data; boundary="a b"', "multipart/form-data", {"boundary": "a b"}),
        (b"", "", {}),
    ],
)
def test_a_content_type_has_a_name_and_parameters(header, name, parameters):
    assert ContentType.parse(header) == ContentType(name, parameters)
