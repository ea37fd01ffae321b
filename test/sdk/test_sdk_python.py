"""OpenAI's Python SDK, unchanged, against the service on the bundled checkpoint."""

import asyncio
import io
import math
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest
from fakes import clip
from media import CLIPS, wav
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
)
from running_service import Service, serving
from sdk import (
    ALIASES,
    CLIP,
    FORMATS,
    HUB_ID,
    TEXT,
    FullService,
    check_json,
    check_logprobs,
    check_segments,
    check_stream,
    check_verbose_json,
    full_service,
    known_speakers,
    two_speakers,
)

from src.settings import Settings

Transcribe = Callable[..., Any]
"""Takes what the SDK's `create` takes and returns its answer; of a stream, the list of its events."""


def connected(port: int, max_retries: int = 0, **options) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=max_retries, **options)


def connected_async(port: int, max_retries: int = 0, **options) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=max_retries, **options
    )


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with connected(service.port) as client:
        yield client


@pytest.fixture(scope="module")
def transcribe_async(service: Service) -> Iterator[Transcribe]:
    async def create(client: openai.AsyncOpenAI, options: dict[str, Any]) -> Any:
        answer = await client.audio.transcriptions.create(**options)
        return [event async for event in answer] if isinstance(answer, openai.AsyncStream) else answer

    with asyncio.Runner() as runner:
        client = connected_async(service.port)
        yield lambda **options: runner.run(create(client, options))
        runner.run(client.close())


@pytest.fixture(scope="module")
def transcribe_sync(client: openai.OpenAI) -> Transcribe:
    def create(**options) -> Any:
        answer = client.audio.transcriptions.create(**options)
        return list(answer) if isinstance(answer, openai.Stream) else answer

    return create


@pytest.fixture(params=["sync", "async"])
def transcribe(request) -> Transcribe:
    """`create` of one of the two clients, which takes the bundled clip as `whisper-1` unless told otherwise."""
    create = request.getfixturevalue(f"transcribe_{request.param}")
    return lambda **options: create(**{"model": "whisper-1", "file": CLIP, **options})


def plain(answer: Any) -> Any:
    """An answer of the SDK, as the JSON that it received."""
    return answer.to_dict() if isinstance(answer, openai.BaseModel) else answer


CLASSES = {
    "json": Transcription,
    "text": str,
    "srt": str,
    "vtt": str,
    "verbose_json": TranscriptionVerbose,
}

FILES = {
    "path": lambda: CLIP,
    "open file": lambda: CLIP.open("rb"),
    "bytes": lambda: CLIP.read_bytes(),
    "BytesIO": lambda: io.BytesIO(CLIP.read_bytes()),
    "name and bytes": lambda: ("a.ogg", CLIP.read_bytes()),
    "name, bytes and type": lambda: ("a.wav", CLIP.read_bytes(), "audio/wav"),
}


@pytest.mark.parametrize("response_format", FORMATS)
@pytest.mark.parametrize("file", FILES)
def test_every_format_comes_back_for_every_kind_of_file(transcribe: Transcribe, file, response_format):
    source = FILES[file]()
    try:
        answer = transcribe(file=source, response_format=response_format)
    finally:
        if isinstance(source, io.IOBase):
            source.close()
    assert type(answer) is CLASSES[response_format]
    FORMATS[response_format](plain(answer))


def test_json_is_the_format_of_those_who_name_none(transcribe: Transcribe):
    check_json(plain(transcribe()))


@pytest.mark.parametrize("granularities", [("word",), ("segment",), ("word", "segment"), ("segment", "word")])
def test_words_and_segments_come_when_asked_for(transcribe: Transcribe, granularities):
    answer = transcribe(response_format="verbose_json", timestamp_granularities=granularities)
    check_verbose_json(plain(answer), granularities)


def test_each_sentence_is_a_segment_of_its_own(transcribe: Transcribe, transcripts):
    name = "long-30s.flac"
    answer = plain(transcribe(file=CLIPS / name, response_format="verbose_json"))
    check_segments(answer["segments"], transcripts[name], answer["duration"])
    sentences = re.findall(r"[^.?!]+[.?!]", transcripts[name])
    assert len(answer["segments"]) >= len(sentences)


def test_one_speaker_says_it_all_where_speakers_are_asked_for(transcribe: Transcribe):
    options = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "chunking_strategy": "auto"}
    answer = transcribe(**options)
    assert isinstance(answer, TranscriptionDiarized)
    assert (answer.text, answer.task) == (TEXT, "transcribe")
    assert " ".join(segment.text for segment in answer.segments) == TEXT
    assert {segment.speaker for segment in answer.segments} == {"A"}
    events = transcribe(**options, stream=True)
    segments = [event for event in events if isinstance(event, TranscriptionTextSegmentEvent)]
    assert [(each.id, each.text, each.speaker) for each in segments] == [
        (each.id, each.text, each.speaker) for each in answer.segments
    ]
    assert isinstance(events[-1], TranscriptionTextDoneEvent)
    assert events[-1].text == TEXT


def test_two_speakers_are_told_apart_and_named_by_their_recordings(transcribe: Transcribe):
    options = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "chunking_strategy": "auto"}
    asked = {**options, "file": ("talk.wav", two_speakers()), **known_speakers()}
    answer = transcribe(**asked)
    assert isinstance(answer, TranscriptionDiarized)
    TranscriptionDiarized.model_validate(answer.to_dict(), strict=True)
    assert {segment.speaker for segment in answer.segments} == {"Joe", "Slt"}
    events = transcribe(**asked, stream=True)
    segments = [event for event in events if isinstance(event, TranscriptionTextSegmentEvent)]
    assert {segment.speaker for segment in segments} == {"Joe", "Slt"}
    assert " ".join(segment.text for segment in segments) == events[-1].text


def test_logprobs_come_when_asked_for(transcribe: Transcribe):
    answer = transcribe(include=["logprobs"])
    assert answer.text == TEXT
    check_logprobs(plain(answer)["logprobs"])


def test_a_stream_is_deltas_that_join_to_the_text_and_one_done(transcribe: Transcribe):
    *deltas, done = transcribe(stream=True)
    assert {type(event) for event in deltas} == {TranscriptionTextDeltaEvent}
    assert type(done) is TranscriptionTextDoneEvent
    assert all(event.logprobs is None for event in (*deltas, done))
    check_stream([plain(event) for event in (*deltas, done)])


def test_a_stream_has_logprobs_when_asked_for(transcribe: Transcribe):
    *deltas, done = [plain(event) for event in transcribe(stream=True, include=["logprobs"])]
    check_stream([*deltas, done])
    check_logprobs(done["logprobs"])
    check_logprobs([each for event in deltas for each in event["logprobs"]])


def test_a_stream_with_times_is_made_of_events_that_the_sdk_knows(transcribe: Transcribe):
    delta, *segments, done = transcribe(
        stream=True, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert [type(event) for event in (delta, done)] == [TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent]
    assert {type(event) for event in segments} == {TranscriptionTextSegmentEvent}
    assert "".join(segment.text for segment in segments).strip() == done.text == TEXT
    assert {segment.speaker for segment in segments} == {""}
    assert all(segment.start < segment.end for segment in segments)
    words = [word["word"] for segment in segments for word in segment.model_extra["words"]]
    assert words == [word["word"] for word in done.model_extra["words"]]
    assert len(done.model_extra["segments"]) == len(segments)


def test_a_long_file_streams_the_text_that_it_has_as_a_whole(transcribe: Transcribe, transcripts):
    name = "long-60s.flac"
    check_stream([plain(event) for event in transcribe(file=CLIPS / name, stream=True)], transcripts[name])


def test_a_stream_of_silence_ends_with_a_done_without_text(transcribe: Transcribe):
    *deltas, done = transcribe(file=CLIPS / "silence-2s.flac", stream=True)
    assert "".join(event.delta for event in deltas) == done.text == ""
    assert done.type == "transcript.text.done"


SILENCE = {
    "json": lambda answer: answer.text == "",
    "text": lambda answer: answer == "\n",
    "srt": lambda answer: answer == "",
    "vtt": lambda answer: answer == "WEBVTT\n\n",
    "verbose_json": lambda answer: (answer.text, answer.segments) == ("", []),
}


@pytest.mark.parametrize("response_format", SILENCE)
def test_silence_has_an_empty_body_of_each_format(transcribe: Transcribe, response_format):
    assert SILENCE[response_format](transcribe(file=CLIPS / "silence-2s.flac", response_format=response_format))


ACCEPTED = [
    *({"language": language} for language in ("en", "en-US", "en_GB", "EN", "english", "English", "")),
    {"languages": ["en"]},
    {"prompt": "Yesterday we left our things in the garden."},
    {"prompt": "bicycle, tree"},
    {"prompt": ""},
    {"temperature": 0},
    {"temperature": 0.4},
    {"temperature": 1},
    {"keywords": ["bicycle", "tree"]},
    {"extra_body": {"keywords": ["bicycle", "the black bicycle"]}},
    {"chunking_strategy": "auto"},
    {"chunking_strategy": {"type": "server_vad"}},
    {"chunking_strategy": {"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200}},
    {"chunking_strategy": {"type": "server_vad", "silence_duration_ms": 300}, "stream": False},
    {"known_speaker_names": ["Ann", "Ben"], "known_speaker_references": ["data:audio/wav;base64,UklGRg=="]},
    {"timestamp_granularities": ["segment"]},
    {"extra_body": {"priority": "high"}},
    {"extra_body": {"favourite": {"colour": ["green"]}, "vad_filter": False, "seed": 7}},
    {"extra_query": {"priority": "low"}},
]


@pytest.mark.parametrize("options", ACCEPTED, ids=str)
def test_what_clients_send_along_is_accepted(transcribe: Transcribe, options):
    assert transcribe(**options).text == TEXT


DIARIZE = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
BAD = [
    (DIARIZE | {"known_speaker_names": ["Ann"]}, "invalid_value", "known_speaker_references"),
    (
        DIARIZE | {"known_speaker_names": ["Ann"], "known_speaker_references": ["data:audio/wav;base64,UklGRg=="]},
        "invalid_value",
        "known_speaker_references",
    ),
    ({"language": "de"}, "unsupported_language", "language"),
    ({"language": "fr-FR"}, "unsupported_language", "language"),
    ({"response_format": "yaml"}, "invalid_value", "response_format"),
    ({"temperature": 1.5}, "invalid_value", "temperature"),
    ({"temperature": -0.1}, "invalid_value", "temperature"),
    ({"temperature": math.nan}, "invalid_value", "temperature"),
    ({"extra_body": {"temperature": "warm"}}, "invalid_value", "temperature"),
    (
        {"response_format": "verbose_json", "timestamp_granularities": ["letter"]},
        "invalid_value",
        "timestamp_granularities",
    ),
    ({"include": ["tokens"]}, "invalid_value", "include"),
    ({"chunking_strategy": {"type": "client_vad"}}, "invalid_value", "chunking_strategy"),
    ({"chunking_strategy": "never"}, "invalid_value", "chunking_strategy"),
    ({"extra_body": {"stream": "perhaps"}}, "invalid_value", "stream"),
    ({"extra_body": {"priority": "urgent"}}, "invalid_value", "priority"),
    ({"file": b""}, "empty_audio", "file"),
    ({"file": b"", "stream": True}, "empty_audio", "file"),
    ({"file": ("a.wav", wav(np.zeros(0)), "audio/wav")}, "empty_audio", "file"),
    ({"file": b"hello, world" * 100}, "invalid_audio", "file"),
    ({"file": b"hello, world" * 100, "stream": True}, "invalid_audio", "file"),
]


@pytest.mark.parametrize(("options", "code", "param"), BAD, ids=lambda value: str(value)[:60])
def test_what_cannot_be_served_is_a_bad_request_that_names_the_field(transcribe: Transcribe, options, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        transcribe(**options)
    error = caught.value
    assert (error.code, re.split(r"\[", error.param)[0], error.type) == (code, param, "invalid_request_error")
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.body["message"].endswith((".", "?"))
    assert error.request_id.startswith("req_")


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found(transcribe: Transcribe, stream):
    with pytest.raises(openai.NotFoundError) as caught:
        transcribe(model="gpt-9000", stream=stream)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "gpt-9000" in caught.value.body["message"]


def test_a_translation_is_rejected_with_a_sentence(client: openai.OpenAI):
    with pytest.deprecated_call(), pytest.raises(openai.BadRequestError) as caught:  # the SDK warns of the method
        client.audio.translations.create(model="whisper-1", file=CLIP)
    assert caught.value.code == "unsupported_model"
    assert caught.value.body["message"].endswith(".")


@pytest.fixture(scope="module")
def renamed(tiny, tmp_path_factory) -> Iterator[openai.OpenAI]:
    """A client of a service whose model goes by an id of the hub, and which cuts audio into chunks of 10 s."""
    log_dir = tmp_path_factory.mktemp("logs")
    settings = Settings(model_id=HUB_ID, log_dir=log_dir, max_queue_wait_s=60, chunk_seconds=10)
    with serving(settings, lambda _: tiny) as running, connected(running.port) as client:
        yield client


def test_the_models_are_the_one_that_is_served_and_the_names_that_stand_for_it(renamed: openai.OpenAI):
    models = {model.id: model for model in renamed.models.list()}
    assert {HUB_ID, *ALIASES} <= set(models)
    for model in models.values():
        assert model.object == "model"
        assert isinstance(model.created, int)
        assert isinstance(model.owned_by, str)


def test_each_model_of_the_list_can_be_retrieved_and_used(renamed: openai.OpenAI):
    for model in renamed.models.list():
        assert renamed.models.retrieve(model.id) == model
        assert renamed.audio.transcriptions.create(model=model.id, file=CLIP).text == TEXT


def test_the_list_is_the_same_for_the_async_client(renamed: openai.OpenAI):
    async def ids() -> list[str]:
        async with connected_async(renamed.base_url.port) as client:
            assert (await client.models.retrieve(HUB_ID)).id == HUB_ID
            return [model.id async for model in client.models.list()]

    assert asyncio.run(ids()) == [model.id for model in renamed.models.list()]


def test_the_last_part_of_a_hub_id_is_enough(renamed: openai.OpenAI):
    name = HUB_ID.rpartition("/")[2]
    assert renamed.models.retrieve(name).object == "model"
    assert renamed.audio.transcriptions.create(model=name, file=CLIP).text == TEXT


def test_audio_of_many_chunks_streams_as_many_deltas_that_join_to_its_text(renamed: openai.OpenAI):
    options = {"model": HUB_ID, "file": CLIPS / "long-60s.flac"}
    events = [event.to_dict() for event in renamed.audio.transcriptions.create(**options, stream=True)]
    assert len(events) > 60 / 10
    check_stream(events, renamed.audio.transcriptions.create(**options).text)


@pytest.mark.parametrize("name", ["gpt-9000", "openai/gpt-4o", "nvidia"])
def test_a_model_that_is_not_there_cannot_be_retrieved(renamed: openai.OpenAI, name):
    with pytest.raises(openai.NotFoundError) as caught:
        renamed.models.retrieve(name)
    assert caught.value.code == "model_not_found"
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize(
    ("response_format", "content_type"),
    [
        ("json", "application/json"),
        ("verbose_json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("srt", "text/plain; charset=utf-8"),
        ("vtt", "text/vtt; charset=utf-8"),
    ],
)
def test_raw_responses_show_the_type_the_request_id_and_the_time_it_took(client, response_format, content_type):
    raw = client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=CLIP, response_format=response_format
    )
    assert raw.headers["content-type"] == content_type
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.headers["openai-processing-ms"].isdecimal()
    FORMATS[response_format](plain(raw.parse()))


def test_the_id_of_a_request_is_on_its_answer(client: openai.OpenAI):
    own = {"extra_headers": {"x-request-id": "call-7"}}
    answer = client.audio.transcriptions.create(model="whisper-1", file=CLIP, **own)
    assert answer._request_id == "call-7"
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=b"", **own)
    assert caught.value.request_id == "call-7"


def test_a_stream_is_not_kept_by_caches_or_proxies(client: openai.OpenAI):
    raw = client.audio.transcriptions.with_raw_response.create(model="whisper-1", file=CLIP, stream=True)
    assert raw.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert raw.headers["cache-control"] == "no-cache"
    assert raw.headers["x-accel-buffering"] == "no"
    assert raw.headers["x-request-id"].startswith("req_")
    assert [event.type for event in raw.parse()][-1] == "transcript.text.done"


def test_a_client_that_closes_its_stream_leaves_the_service_as_it_was(client: openai.OpenAI, transcripts):
    name = "long-60s.flac"
    stream = client.audio.transcriptions.create(model="whisper-1", file=CLIPS / name, stream=True)
    next(iter(stream))
    stream.close()
    answer = client.audio.transcriptions.create(model="whisper-1", file=CLIPS / name)
    assert answer.text == transcripts[name]


def test_clients_at_the_same_time_get_each_their_own(client: openai.OpenAI, transcripts):
    names = [name for name in transcripts if name.startswith(("piper", "rhvoice-clb", "flite-rms"))]

    def text(name: str) -> str:
        return client.audio.transcriptions.create(model="whisper-1", file=CLIPS / name, response_format="text")

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(text, names)) == [f"{transcripts[name]}\n" for name in names]


@pytest.fixture
def full(tmp_path) -> Iterator[FullService]:
    with full_service(tmp_path) as full:
        yield full


def test_a_full_queue_is_a_rate_limit_that_says_when_to_come_back(full: FullService):
    with connected(full.port) as client, pytest.raises(openai.RateLimitError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=wav(clip(2)))
    assert (caught.value.code, caught.value.type) == ("queue_full", "rate_limit_exceeded")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.request_id.startswith("req_")


def test_a_full_queue_rejects_a_stream_before_its_first_byte(full: FullService):
    with connected(full.port) as client, pytest.raises(openai.RateLimitError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=wav(clip(2)), stream=True)
    assert caught.value.code == "queue_full"


def test_the_retry_of_the_sdk_succeeds_once_there_is_a_slot(full: FullService):
    statuses = []

    def on_response(response) -> None:
        statuses.append(response.status_code)
        if response.status_code == 429:
            full.release()

    http_client = openai.DefaultHttpxClient(event_hooks={"response": [on_response]})
    with connected(full.port, max_retries=2, http_client=http_client) as client:
        answer = client.audio.transcriptions.create(model="whisper-1", file=wav(clip(2)))
    assert (answer.text, statuses) == ("2", [429, 200])


def test_the_retry_of_the_async_sdk_succeeds_once_there_is_a_slot(full: FullService):
    statuses = []

    async def on_response(response) -> None:
        statuses.append(response.status_code)
        if response.status_code == 429:
            await asyncio.to_thread(full.release)

    async def text() -> str:
        http_client = openai.DefaultAsyncHttpxClient(event_hooks={"response": [on_response]})
        async with connected_async(full.port, max_retries=2, http_client=http_client) as client:
            return (await client.audio.transcriptions.create(model="whisper-1", file=wav(clip(2)))).text

    assert (asyncio.run(text()), statuses) == ("2", [429, 200])
