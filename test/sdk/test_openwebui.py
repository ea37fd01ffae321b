"""What clients other than OpenAI's SDKs send: Open WebUI's two kinds of body, and what people send with curl."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx
import pytest
from running_service import Service
from sdk import CLIP, FORMATS, TEXT, check_json, check_stream, check_verbose_json

ROUTE = "/v1/audio/transcriptions"

Fields = list[tuple[str, str]]
Send = Callable[[Fields], httpx.Response]


def flac() -> bytes:
    return CLIP.read_bytes()


def form(service: Service, fields: Fields, *, file_first: bool = True) -> httpx.Response:
    """Send a multipart form with its parts in the given order, as curl -F does."""
    file = ("file", ("clip.flac", flac(), "audio/flac"))
    parts = [(name, (None, value)) for name, value in fields]
    return service.http.post(ROUTE, files=[file, *parts] if file_first else [*parts, file])


def query(service: Service, fields: Fields) -> httpx.Response:
    """Send the audio as the body, with the fields in the query string."""
    return service.http.post(ROUTE, params=fields, content=flac(), headers={"content-type": "audio/flac"})


@pytest.fixture(params=["form", "form with the file last", "query"])
def send(request, service: Service) -> Send:
    return {
        "form": lambda fields: form(service, fields),
        "form with the file last": lambda fields: form(service, fields, file_first=False),
        "query": lambda fields: query(service, fields),
    }[request.param]


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream: a line `data:` and a blank line for each."""
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    *blocks, end = response.text.split("\n\n")
    assert end == ""
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block != "data: [DONE]"]


def error(response: httpx.Response) -> tuple[str, str]:
    """The code and the field of an error."""
    assert response.status_code == 400
    body = response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return body["code"], body["param"].split("[")[0]


async def test_a_form_that_open_webui_writes_without_a_length_is_read(service: Service):
    async def file() -> AsyncIterator[bytes]:
        for start in range(0, len(flac()), 4096):
            yield flac()[start : start + 4096]

    data = aiohttp.FormData()
    data.add_field("model", "whisper-1")
    data.add_field("language", "en")
    data.add_field("file", file(), filename="clip.wav", content_type="audio/wav")
    url = f"http://127.0.0.1:{service.port}{ROUTE}"
    async with aiohttp.ClientSession() as session, session.post(url, data=data) as response:
        assert response.request_info.headers["Transfer-Encoding"] == "chunked"
        assert response.content_type == "application/json"
        check_json(await response.json())


def input_audio(data: bytes, audio_format: str = "wav") -> dict[str, Any]:
    return {"data": base64.b64encode(data).decode(), "format": audio_format}


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "whisper-1"},
        {"model": "whisper-1", "language": "en"},
        {"model": "whisper-1", "language": None},
        {},
        {"temperature": 0, "stream": False, "prompt": "", "keywords": ["bicycle"], "favourite": {"colour": 7}},
    ],
    ids=str,
)
@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_body_carries_the_audio_in_base64(service: Service, fields, content_type):
    body = json.dumps({**fields, "input_audio": input_audio(flac())})
    response = service.http.post(ROUTE, content=body, headers={"content-type": content_type})
    assert response.status_code == 200, response.text
    check_json(response.json())


@pytest.mark.parametrize(
    "written",
    [
        lambda encoded: encoded,
        lambda encoded: "\r\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76)),
        lambda encoded: f"data:audio/flac;base64,\n{encoded}\n",
        lambda encoded: encoded.replace("+", "-").replace("/", "_").rstrip("="),
    ],
    ids=["plain", "lines", "a data URL", "for URLs, no padding"],
)
@pytest.mark.parametrize("escaped", [False, True])
def test_base64_in_json_may_be_written_as_any_encoder_does(service: Service, written, escaped):
    body = json.dumps({"input_audio": {"data": written(base64.b64encode(flac()).decode())}, "language": "undefined"})
    body = body.replace("/", "\\/") if escaped else body  # as PHP does
    check_json(service.http.post(ROUTE, content=body, headers={"content-type": "application/json"}).json())


def test_a_json_body_takes_every_field_as_the_json_that_it_is(service: Service):
    body = {
        "input_audio": input_audio(flac(), "flac"),
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "chunking_strategy": {"type": "server_vad", "threshold": 0.5},
        "temperature": 0.2,
    }
    check_verbose_json(service.http.post(ROUTE, json=body).json(), ("word", "segment"))


def test_a_json_body_can_ask_for_a_stream(service: Service):
    body = {"input_audio": input_audio(flac()), "stream": True}
    check_stream(events(service.http.post(ROUTE, json=body)))


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"model": "whisper-1"}, "missing_file", "file"),
        ({"input_audio": input_audio(b"")}, "empty_audio", "file"),
        ({"input_audio": {"format": "wav"}}, "invalid_value", "input_audio"),
        ({"input_audio": {"data": "no base64!", "format": "wav"}}, "invalid_value", "input_audio"),
        ({"input_audio": {"data": 7, "format": "wav"}}, "invalid_value", "input_audio"),
        ({"input_audio": "UklGRg=="}, "invalid_value", "input_audio"),
        ({"input_audio": input_audio(flac()), "language": "de"}, "unsupported_language", "language"),
        ({"input_audio": input_audio(flac()), "language": 7}, "unsupported_language", "language"),
        ({"input_audio": input_audio(flac()), "temperature": "warm"}, "invalid_value", "temperature"),
        ({"input_audio": input_audio(flac()), "response_format": {}}, "invalid_value", "response_format"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_json_body_that_cannot_be_used_says_which_field_is_wrong(service: Service, body, code, param):
    assert error(service.http.post(ROUTE, json=body)) == (code, param)


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', "null", '{"input_audio": NaN', "\ufeff{", "[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_bad_request(service: Service, body):
    response = service.http.post(ROUTE, content=body.encode(), headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("response_format", FORMATS)
def test_every_format_can_be_asked_for_in_every_way(send: Send, response_format):
    response = send([("response_format", response_format)])
    is_json = response.headers["content-type"] == "application/json"
    assert is_json is (response_format in ("json", "verbose_json"))
    FORMATS[response_format](response.json() if is_json else response.text)


@pytest.mark.parametrize(
    "fields",
    [
        [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")],
        [("timestamp_granularities", "word"), ("timestamp_granularities", "segment")],
        [("timestamp_granularities[]", "word"), ("timestamp_granularities", "segment")],
        [("timestamp_granularities", "word,segment")],
        [("timestamp_granularities[]", "segment, word")],
        [("timestamp_granularities", '["word", "segment"]')],
    ],
    ids=str,
)
def test_a_list_can_be_written_in_every_way(send: Send, fields):
    check_verbose_json(send([("response_format", "verbose_json"), *fields]).json(), ("word", "segment"))


def test_words_alone_are_what_curl_gets_with_one_field(send: Send):
    fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word"), ("model", "whisper-1")]
    check_verbose_json(send(fields).json(), ("word",))


@pytest.mark.parametrize(
    "fields",
    [
        [("chunking_strategy", "auto")],
        [("chunking_strategy", '{"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200}')],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.5")],
        [("chunking_strategy[prefix_padding_ms]", "300"), ("chunking_strategy[type]", "server_vad")],
        [("chunking_strategy", "")],
    ],
    ids=str,
)
def test_an_object_can_be_written_in_every_way(send: Send, fields):
    check_json(send(fields).json())


@pytest.mark.parametrize(
    "fields",
    [
        [("chunking_strategy", '{"type": "server_vad"')],
        [("chunking_strategy", '{"type": "client_vad"}')],
        [("chunking_strategy", "7")],
        [("chunking_strategy[type]", "client_vad")],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "high")],
    ],
    ids=str,
)
def test_a_wrong_object_is_rejected_however_it_is_written(send: Send, fields):
    assert error(send(fields)) == ("invalid_value", "chunking_strategy")


@pytest.mark.parametrize("value", ["true", "True", "TRUE", "1"])
def test_a_stream_can_be_asked_for_in_every_way(send: Send, value):
    check_stream(events(send([("stream", value)])))


@pytest.mark.parametrize("value", ["false", "False", "0", ""])
def test_a_stream_can_be_declined_in_every_way(send: Send, value):
    check_json(send([("stream", value)]).json())


def test_fields_that_are_empty_count_as_absent(send: Send):
    names = ("model", "language", "prompt", "response_format", "temperature", "stream", "priority", "include[]")
    check_json(send([(name, "") for name in names]).json())


def test_the_message_about_an_unsupported_language_is_shown_and_the_second_try_without_it_succeeds(service: Service):
    first = form(service, [("model", "whisper-1"), ("language", "de")])
    assert error(first) == ("unsupported_language", "language")
    assert first.json()["error"]["message"].endswith(".")
    assert form(service, [("model", "whisper-1")]).json()["text"] == TEXT
