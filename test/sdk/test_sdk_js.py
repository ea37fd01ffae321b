"""OpenAI's JavaScript SDK and Vercel's AI SDK, unchanged, against the service on the bundled checkpoint.

The programs in `js` do the calls and print what they saw as JSON. `scripts/test.sh` installs the SDKs.
"""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from fakes import HeldModel, clip
from js_sdks import command, run_program, skip_without_sdks
from media import CLIPS, wav
from openai_schema import SpeakerSegment, TranscriptionDiarized
from running_service import Service, serving
from sdk import (
    ALIASES,
    CLIP,
    FORMATS,
    HUB_ID,
    TEXT,
    WORDS,
    check_logprobs,
    check_stream,
    check_times,
    check_verbose_json,
    full_service,
    known_speakers,
    two_speakers,
)

from src.settings import Settings

skip_without_sdks()


def run(program: str, port: int, *arguments: object) -> Any:
    """Return what a program prints, as parsed from JSON."""
    return run_program(program, f"http://127.0.0.1:{port}/v1", *arguments)


@pytest.fixture(scope="module")
def transcribe(service: Service) -> Callable[..., Any]:
    """Transcribe a clip once with each of some options; returns what each call returned or threw."""
    return lambda *options, speech=CLIP: run("transcribe.mjs", service.port, str(speech), list(options))


def test_every_format_comes_back_for_every_kind_of_file(service: Service):
    answers = run("formats.mjs", service.port, str(CLIP))
    assert len(answers) == 5
    for answer in answers.values():
        assert set(answer) == set(FORMATS)
        for name, check in FORMATS.items():
            check(answer[name])


def test_words_and_segments_come_when_asked_for(transcribe):
    asked = [("word",), ("segment",), ("word", "segment")]
    answers = transcribe(*({"response_format": "verbose_json", "timestamp_granularities": each} for each in asked))
    for granularities, answer in zip(asked, answers, strict=True):
        check_verbose_json(answer["returned"], granularities)


def test_a_stream_is_deltas_that_join_to_the_text_and_one_done(transcribe):
    bare, with_logprobs = transcribe({"stream": True}, {"stream": True, "include": ["logprobs"]})
    check_stream(bare["returned"])
    assert all("logprobs" not in event for event in bare["returned"])
    *deltas, done = with_logprobs["returned"]
    check_stream([*deltas, done])
    check_logprobs(done["logprobs"])
    check_logprobs([each for event in deltas for each in event["logprobs"]])


def test_a_long_file_streams_the_text_that_it_has_as_a_whole(transcribe, transcripts):
    name = "long-60s.flac"
    streamed, whole = transcribe({"stream": True}, {}, speech=CLIPS / name)
    check_stream(streamed["returned"], transcripts[name])
    assert whole["returned"]["text"] == transcripts[name]


def test_silence_has_an_empty_body_of_each_format(transcribe):
    answers = transcribe(*({"response_format": name} for name in FORMATS), speech=CLIPS / "silence-2s.flac")
    json_, text, srt, vtt, verbose = [answer["returned"] for answer in answers]
    assert json_["text"] == ""
    assert text == "\n"
    assert srt == ""
    assert vtt == "WEBVTT\n\n"
    assert (verbose["text"], verbose["segments"]) == ("", [])


def test_what_clients_send_along_is_accepted(transcribe):
    options = [
        {"language": "en-US"},
        {"language": ""},
        {"languages": ["en"]},
        {"prompt": "bicycle, tree"},
        {"temperature": 0.4},
        {"keywords": ["bicycle", "tree"]},
        {"chunking_strategy": "auto"},
        {"chunking_strategy": {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300}},
        {"known_speaker_names": ["Ann", "Ben"]},
        {"priority": "high"},
        {"favourite": {"colour": ["green"]}},
        {"stream": False},
        {"model": "gpt-4o-mini-transcribe"},
    ]
    assert [answer.get("returned", answer).get("text") for answer in transcribe(*options)] == [TEXT] * len(options)


def test_two_speakers_are_told_apart_and_named_by_their_recordings(service: Service, tmp_path):
    (tmp_path / "talk.wav").write_bytes(two_speakers())
    options = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", **known_speakers()}
    (tmp_path / "options.json").write_text(json.dumps([options, options | {"stream": True}]))  # too long for a command
    whole, streamed = run("transcribe.mjs", service.port, str(tmp_path / "talk.wav"), str(tmp_path / "options.json"))
    body = TranscriptionDiarized.model_validate(whole["returned"])
    assert {segment.speaker for segment in body.segments} == {"Joe", "Slt"}
    segments = [event for event in streamed["returned"] if event["type"] == "transcript.text.segment"]
    assert {SpeakerSegment.model_validate(segment).speaker for segment in segments} == {"Joe", "Slt"}


BAD = [
    (
        {"response_format": "diarized_json", "known_speaker_names": ["Ann"]},
        ("BadRequestError", 400, "invalid_value", "known_speaker_references"),
    ),
    ({"model": "gpt-9000"}, ("NotFoundError", 404, "model_not_found", "model")),
    ({"model": "gpt-9000", "stream": True}, ("NotFoundError", 404, "model_not_found", "model")),
    ({"language": "de"}, ("BadRequestError", 400, "unsupported_language", "language")),
    ({"response_format": "yaml"}, ("BadRequestError", 400, "invalid_value", "response_format")),
    ({"temperature": 2}, ("BadRequestError", 400, "invalid_value", "temperature")),
    ({"priority": "urgent"}, ("BadRequestError", 400, "invalid_value", "priority")),
]


def test_what_cannot_be_served_throws_the_class_of_its_status(transcribe):
    answers = transcribe(*(options for options, _ in BAD))
    seen = [tuple(answer.get(key) for key in ("class", "status", "code", "param")) for answer in answers]
    assert seen == [expected for _, expected in BAD]
    assert all(answer["requestId"].startswith("req_") for answer in answers)
    assert all(answer["message"].endswith(".") for answer in answers)


def test_an_answer_has_its_request_id_and_an_error_too(service: Service):
    seen = run("responses.mjs", service.port, str(CLIP))
    assert seen["data"]["text"] == TEXT
    assert seen["headers"]["content-type"] == "application/json"
    assert seen["headers"]["openai-processing-ms"].isdecimal()
    assert seen["requestId"] == seen["headers"]["x-request-id"]
    assert seen["requestId"].startswith("req_")
    for name in ("empty", "emptyStream"):
        assert (seen[name]["class"], seen[name]["code"]) == ("BadRequestError", "empty_audio")
    assert (seen["translation"]["class"], seen["translation"]["code"]) == ("BadRequestError", "unsupported_model")


def test_each_model_of_the_list_can_be_retrieved(tmp_path):
    settings = Settings(model_id=HUB_ID, log_dir=tmp_path)
    with serving(settings, lambda _: HeldModel(held=False)) as running:
        seen = run("models.mjs", running.port)
    assert {HUB_ID, *ALIASES} <= {model["id"] for model in seen["listed"]}
    assert seen["retrieved"] == seen["listed"]
    assert (seen["unknown"]["class"], seen["unknown"]["code"]) == ("NotFoundError", "model_not_found")


def test_a_full_queue_is_a_rate_limit_that_says_when_to_come_back(tmp_path):
    with full_service(tmp_path) as full:
        answers = run("transcribe.mjs", full.port, str(CLIP), [{}, {"stream": True}])
    for answer in answers:
        assert (answer["class"], answer["code"], answer["retryAfter"]) == ("RateLimitError", "queue_full", "1")


def test_the_retry_of_the_sdk_succeeds_once_there_is_a_slot(tmp_path):
    speech = tmp_path / "clip.wav"
    speech.write_bytes(wav(clip(2)))
    with full_service(tmp_path / "logs") as full:
        retry = command("retry.mjs", f"http://127.0.0.1:{full.port}/v1", str(speech))
        with subprocess.Popen(retry, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            first = program.stdout.readline()
            full.release()
            rest, _ = program.communicate("go on\n", timeout=300)
    second, answer = rest.splitlines()
    assert (first, second, json.loads(answer)["text"]) == ("429\n", "200", "2")


def test_the_ai_sdk_takes_every_answer(service: Service):
    calls = [
        {"model": "whisper-1"},
        {"model": "whisper-1", "options": {"timestampGranularities": ["word"]}},
        {"model": "whisper-1", "options": {"timestampGranularities": ["segment"]}},
        {"model": "whisper-1", "options": {"timestampGranularities": ["word", "segment"], "include": ["logprobs"]}},
        {"model": "gpt-4o-transcribe", "options": {"language": "en", "prompt": "A story.", "temperature": 0}},
        {"model": "gpt-transcribe", "options": {"languages": ["en"], "keywords": ["bicycle"]}},
        {"model": "gpt-4o-transcribe-diarize"},
    ]
    answers = run("ai_sdk.mjs", service.port, str(CLIP), calls)
    assert [answer.get("text", answer) for answer in answers] == [TEXT] * len(calls)
    bare, words, segments, both, *_ = answers
    assert (bare["segments"], bare["durationInSeconds"]) == ([], 3)
    assert [word["text"].rstrip(".") for word in words["segments"]] == WORDS
    for answer in (words, segments, both):
        assert answer["language"] == "en"
        check_times([(each["startSecond"], each["endSecond"]) for each in answer["segments"]])
    for answer in (segments, both):
        assert " ".join(segment["text"].strip() for segment in answer["segments"]) == TEXT


def test_the_ai_sdk_shows_the_sentence_of_an_error(service: Service):
    calls = [{"model": "gpt-9000"}, {"model": "whisper-1", "options": {"language": "de"}}]
    unknown, german = run("ai_sdk.mjs", service.port, str(CLIP), calls)
    assert unknown["error"] == german["error"] == "AI_APICallError"
    assert "gpt-9000" in unknown["message"]
    assert german["message"].endswith(".")
