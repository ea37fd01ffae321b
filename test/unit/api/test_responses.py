"""The bodies of each response format and the events of a stream, byte for byte and against the strict wire models."""

import json
import math
import re
from pathlib import Path
from typing import Any

import openai_schema
import pytest
from hypothesis import given, settings
from made_transcripts import GOLDEN, LOGPROB, length_s, spoken, spoken_by, transcripts
from pydantic import ValidationError

from src.api.options import Options
from src.api.responses import EventStream, render
from src.errors import TranscriptionFailed
from src.text.segments import segments_of
from src.text.transcript import Token, Transcript
from src.text.words import words_of
from src.wire.logprobs import MIN_LOGPROB

FILES = Path(__file__).parents[2] / "golden"
TREE = spoken("The black bi|cycle is un|der the tree. ~1 Yes, it is.")
CLIP_S = 4.2500625
NOTHING = Transcript("")


def answer(made: Transcript = TREE, clip_s: float = CLIP_S, **options) -> Any:
    return render(made, Options(**options), duration_s=clip_s)


def verbose(made: Transcript = TREE, clip_s: float = CLIP_S, **options) -> openai_schema.TranscriptionVerbose:
    body = answer(made, clip_s, response_format="verbose_json", **options).body
    return openai_schema.TranscriptionVerbose.model_validate_json(body)


CONTENT_TYPES = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain; charset=utf-8",
    "srt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}


@pytest.mark.parametrize("response_format", CONTENT_TYPES)
def test_each_format_has_its_content_type(response_format):
    assert answer(response_format=response_format).headers["content-type"] == CONTENT_TYPES[response_format]


def test_json_is_the_text_and_the_seconds_rounded_up():
    body = b'{"text":"The black bicycle is under the tree. Yes, it is.","usage":{"type":"duration","seconds":5}}'
    assert answer().body == body
    openai_schema.TranscriptionJson.model_validate_json(body)


def test_a_clip_of_whole_seconds_is_not_rounded_up():
    assert json.loads(answer(clip_s=3.0).body)["usage"]["seconds"] == 3
    assert json.loads(answer(NOTHING, 0.0).body)["usage"]["seconds"] == 0


def test_json_has_logprobs_only_when_asked_for():
    logprobs = openai_schema.TranscriptionJson.model_validate_json(answer(logprobs=True).body).logprobs
    assert [logprob.token for logprob in logprobs][:4] == [" The", " black", " bi", "cycle"]
    assert "".join(logprob.token for logprob in logprobs) == f" {TREE.text}"
    assert b"".join(bytes(logprob.bytes) for logprob in logprobs).decode() == f" {TREE.text}"
    assert {logprob.logprob for logprob in logprobs} == {LOGPROB}


def test_a_token_that_is_one_byte_of_a_character_has_that_byte():
    made = Transcript("\u20ac", tuple(Token(0, f"<0x{byte}>", 0, 0.1, -1) for byte in ("E2", "82", "AC")))
    logprobs = openai_schema.TranscriptionJson.model_validate_json(answer(made, logprobs=True).body).logprobs
    assert bytes(byte for logprob in logprobs for byte in logprob.bytes).decode() == "\u20ac"


def test_text_srt_and_vtt_are_as_in_the_golden_files():
    clip_s = length_s(GOLDEN) + 1
    for response_format, suffix in (("text", "txt"), ("srt", "srt"), ("vtt", "vtt")):
        body = answer(GOLDEN, clip_s, response_format=response_format).body
        assert body == (FILES / f"transcript.{suffix}").read_bytes()


def test_nothing_heard_has_an_empty_body_of_each_format():
    bodies = {
        response_format: answer(NOTHING, response_format=response_format).body for response_format in CONTENT_TYPES
    }
    assert (bodies["text"], bodies["srt"], bodies["vtt"]) == (b"\n", b"", b"WEBVTT\n\n")
    assert openai_schema.TranscriptionJson.model_validate_json(bodies["json"]).text == ""
    assert verbose(NOTHING, segments=True, words=True).model_dump(include={"text", "segments", "words"}) == {
        "text": "",
        "segments": [],
        "words": [],
    }


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("segments", [False, True])
def test_words_and_segments_are_there_when_asked_for_and_left_out_when_not(words, segments):
    body = answer(response_format="verbose_json", words=words, segments=segments).body
    openai_schema.TranscriptionVerbose.model_validate_json(body)
    assert ("words" in json.loads(body), "segments" in json.loads(body)) == (words, segments)


def test_verbose_json_says_what_was_done_to_what():
    body = verbose(language="de")
    assert (body.task, body.language, body.duration, body.text) == ("transcribe", "german", 4.250063, TREE.text)
    assert verbose().language == "english"


def test_words_have_no_punctuation_and_no_space():
    words = verbose(words=True).words
    assert [word.word for word in words] == ["The", "black", "bicycle", "is", "under", "the", "tree", "Yes", "it", "is"]
    assert (words[2].start, words[2].end) == (0.32, 0.64)
    assert (words[6].end, words[7].start) == (1.44, 2.44)


def test_segments_have_ten_keys_and_a_space_before_their_text():
    first, second = verbose(segments=True).segments
    assert first.text + second.text == f" {TREE.text}"
    assert (first.id, second.id) == (0, 1)
    assert (first.start, first.end, second.start, second.end) == (0.0, 1.44, 2.44, 2.92)
    assert first.tokens + second.tokens == [token.id for token in TREE.tokens]
    assert first.avg_logprob == LOGPROB
    assert (first.seek, first.temperature, first.no_speech_prob) == (0, 0, 0)
    assert len(first.model_fields_set) == 10


SAID_BY = spoken_by({0: "A", 0.8: "Ben", 2: "A"})


def test_verbose_json_says_who_speaks_where_that_is_asked():
    options = Options(response_format="verbose_json", words=True, segments=True)
    body = bytes(render(TREE, options, duration_s=CLIP_S, label=SAID_BY).body)
    found = openai_schema.TranscriptionVerbose.model_validate_json(body)
    assert [(each.id, each.speaker, each.text) for each in found.segments] == [
        (0, "A", " The black bicycle is"),
        (1, "Ben", " under the tree."),
        (2, "A", " Yes, it is."),
    ]
    assert [word.speaker for word in found.words] == ["A"] * 4 + ["Ben"] * 3 + ["A"] * 3
    assert all(each.speaker is None for each in verbose(segments=True, words=True).segments)
    assert b"speaker" not in answer(response_format="verbose_json", segments=True, words=True).body


def test_a_stream_with_times_says_who_speaks_as_the_whole_answer_does():
    options = Options(response_format="verbose_json", words=True, segments=True, stream=True, times=True)
    events = EventStream(options, label=SAID_BY)
    parts = events.delta(TREE.text, TREE.tokens) + events.done(CLIP_S)
    segments = openai_schema.timed_events_of(parts)[1:-1]
    whole = json.loads(bytes(render(TREE, options, duration_s=CLIP_S, label=SAID_BY).body))
    assert [segment.speaker for segment in segments] == ["A", "Ben", "A"]
    assert [word.speaker for segment in segments for word in segment.words] == [
        word["speaker"] for word in whole["words"]
    ]
    last = json.loads(parts.decode().split("data: ")[-1])
    assert (last["segments"], last["words"]) == (whole["segments"], whole["words"])
    assert [cue["speaker"] for cue in last["cues"]] == ["A", "Ben", "A"]


def test_subtitles_say_who_speaks():
    options = Options(response_format="vtt")
    assert "\n<v Ben>under the tree.\n" in bytes(render(TREE, options, duration_s=CLIP_S, label=SAID_BY).body).decode()
    options = Options(response_format="srt")
    assert "\nBen: under the tree.\n" in bytes(render(TREE, options, duration_s=CLIP_S, label=SAID_BY).body).decode()


def test_the_compression_ratio_tells_repetition():
    (varied,) = verbose(spoken("The black bicycle is under the tree"), segments=True).segments
    (repeated,) = verbose(spoken("the tree " * 20), segments=True).segments
    assert varied.compression_ratio < 1 < 2.4 < repeated.compression_ratio


@pytest.mark.parametrize("logprob", [-math.inf, math.nan, -1e9])
def test_an_impossible_token_has_a_number_for_its_probability(logprob):
    made = Transcript("a b", (Token(0, "\u2581a", 0, 0.1, logprob), Token(1, "\u2581b", 0.2, 0.3, 1e-9)))
    (segment,) = verbose(made, segments=True).segments
    assert segment.avg_logprob == MIN_LOGPROB
    logprobs = openai_schema.TranscriptionJson.model_validate_json(answer(made, logprobs=True).body).logprobs
    assert [logprob.logprob for logprob in logprobs] == [MIN_LOGPROB, 0]


def test_text_that_json_html_or_sse_might_take_for_their_own_comes_through():
    made = Transcript('"na\u00efve" \\ <b>\u2581\U0001f600 data: x\u2028y')
    assert openai_schema.TranscriptionJson.model_validate_json(answer(made).body).text == made.text
    assert verbose(made).text == made.text
    assert answer(made, response_format="text").body.decode() == f"{made.text}\n"
    (delta,) = openai_schema.events_of(EventStream(Options()).delta(made.text, ()))
    assert delta.delta == made.text


def test_a_stream_is_its_deltas_and_one_done_with_their_text():
    stream = EventStream(Options())
    first, second = TREE.tokens[:10], TREE.tokens[10:]
    body = stream.delta("The black bicycle is under the tree.", first)
    body += stream.delta(" Yes, it is.", second)
    body += stream.done(CLIP_S)
    assert body.startswith(
        b'data: {"type":"transcript.text.delta","delta":"The black bicycle is under the tree."}\n\n'
        b'data: {"type":"transcript.text.delta","delta":" Yes, it is."}\n\n'
    )
    *deltas, done = openai_schema.events_of(body)
    assert "".join(delta.delta for delta in deltas) == done.text == TREE.text
    assert "logprobs" not in done.model_fields_set | deltas[0].model_fields_set


def test_the_usage_of_a_stream_counts_frames_and_tokens():
    stream = EventStream(Options())
    stream.delta(TREE.text, TREE.tokens)
    (done,) = openai_schema.events_of(stream.done(0.8))
    assert done.usage == openai_schema.TokenUsage(
        type="tokens",
        input_tokens=10,
        input_token_details=openai_schema.InputTokenDetails(text_tokens=0, audio_tokens=10),
        output_tokens=len(TREE.tokens),
        total_tokens=10 + len(TREE.tokens),
    )
    (longer,) = openai_schema.events_of(EventStream(Options()).done(0.81))
    assert (longer.usage.input_tokens, longer.usage.output_tokens) == (11, 0)


def test_a_stream_has_logprobs_when_asked_for_each_token_once():
    stream = EventStream(Options(logprobs=True))
    *deltas, done = openai_schema.events_of(
        stream.delta("The", TREE.tokens[:1]) + stream.delta(" black", TREE.tokens[1:2]) + stream.done(1)
    )
    assert [[logprob.token for logprob in delta.logprobs] for delta in deltas] == [[" The"], [" black"]]
    assert [logprob.token for logprob in done.logprobs] == [" The", " black"]


def test_a_stream_of_nothing_is_one_done_with_an_empty_text():
    (done,) = openai_schema.events_of(EventStream(Options()).done(1))
    assert done.text == ""


def test_an_error_in_a_stream_is_the_error_body_as_an_event():
    event = EventStream.error(TranscriptionFailed("The model failed on this clip.", param=None))
    assert event == (
        b'data: {"type":"error","error":{"message":"The model failed on this clip.","type":"server_error","param":null,'
        b'"code":"transcription_failed"}}\n\n'
    )
    openai_schema.events_of(event)


TIMES = Options(stream=True, times=True, segments=True, words=True, response_format="verbose_json")


def streamed(options: Options, made: Transcript = TREE, clip_s: float = CLIP_S) -> list[Any]:
    """The events of a stream in which a transcript comes as one part."""
    stream = EventStream(options)
    return openai_schema.timed_events_of(stream.delta(made.text, made.tokens) + stream.done(clip_s))


def test_a_stream_with_times_has_each_segment_with_its_words():
    delta, first, second, done = streamed(TIMES)
    assert delta.delta == done.text == TREE.text
    assert (first.id, second.id) == ("seg_0", "seg_1")
    assert first.text + second.text == f" {TREE.text}"
    assert (first.start, first.end, second.start, second.end) == (0.0, 1.44, 2.44, 2.92)
    assert first.words + second.words == verbose(words=True).words
    assert {first.speaker, second.speaker} == {""}


def test_the_end_of_a_stream_with_times_has_what_verbose_json_has():
    *_, done = streamed(TIMES)
    whole = verbose(words=True, segments=True)
    keys = {"text", "language", "duration", "segments", "words"}
    assert done.model_dump(include=keys) == whole.model_dump(include=keys)


@pytest.mark.parametrize("response_format", ["srt", "vtt"])
def test_the_cues_of_a_stream_make_the_file_that_the_format_has(response_format):
    clip_s = length_s(GOLDEN) + 1
    *_, done = streamed(Options(times=True, segments=True, response_format=response_format), GOLDEN, clip_s)
    blocks = answer(GOLDEN, clip_s, response_format=response_format).body.decode().strip().split("\n\n")
    if response_format == "vtt":
        blocks = [block.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for block in blocks[1:]]
    assert [cue.text for cue in done.cues] == ["\n".join(block.split(" --> ")[1].splitlines()[1:]) for block in blocks]
    assert [f"{cue.end % 60:06.3f}" for cue in done.cues] == [
        re.search(r"--> \d+:\d+:(\S+)", block)[1].replace(",", ".") for block in blocks
    ]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (Options(times=True, segments=True), {"segments"}),
        (Options(times=True, words=True), {"words"}),
        (TIMES, {"segments", "words"}),
    ],
)
def test_the_end_of_a_stream_has_the_times_that_were_asked_for(options, keys):
    *_, done = streamed(options)
    assert done.model_fields_set == {"type", "text", "usage", "language", "duration", "cues"} | keys


def test_a_stream_of_silence_with_times_is_one_done():
    (done,) = openai_schema.timed_events_of(EventStream(TIMES).done(2.0))
    assert (done.text, done.segments, done.words, done.cues, done.duration) == ("", [], [], [], 2.0)


def test_only_a_stream_that_copies_text_is_quick():
    assert EventStream(Options(stream=True, segments=True)).is_quick
    assert not EventStream(Options(stream=True, logprobs=True)).is_quick
    assert not EventStream(TIMES).is_quick


@pytest.mark.parametrize(
    "change",
    [
        {"duration": "1.5"},
        {"duration": None},
        {"language": "en"},
        {"extra": 1},
        {"words": None},
        {"segments": [{"id": 0}]},
        {"words": [{"word": "a", "start": "0", "end": 1}]},
        {"usage": {"type": "duration", "seconds": 1.5}},
    ],
)
def test_the_wire_models_refuse_what_a_strict_client_would(change):
    body = json.loads(answer(response_format="verbose_json", words=True, segments=True).body)
    openai_schema.TranscriptionVerbose.model_validate_json(json.dumps(body))
    with pytest.raises(ValidationError):
        openai_schema.TranscriptionVerbose.model_validate_json(json.dumps(body | change))


@settings(max_examples=60)
@given(transcripts())
def test_any_transcript_makes_strictly_valid_bodies(made):
    transcript, words, clip_s = made
    body = verbose(transcript, clip_s, words=True, segments=True)
    assert [word.word for word in body.words] == words
    assert len(body.words) == len(words_of(transcript, clip_s))
    assert len(body.segments) == len(segments_of(transcript, clip_s))
    assert "".join(segment.text for segment in body.segments).strip() == transcript.text
    times = [time_s for word in body.words for time_s in (word.start, word.end)]
    assert times == sorted(times)
    assert not times or times[-1] <= body.duration
    plain = openai_schema.TranscriptionJson.model_validate_json(answer(transcript, clip_s, logprobs=True).body)
    assert len(plain.logprobs) == len(transcript.tokens)


def as_french(text, languages, otherwise):
    return "fr"


POLYGLOT = Options(languages=("en", "fr"))


def test_the_language_of_a_text_is_named_if_the_model_knows_several():
    def body_of(made: Transcript, options: Options) -> bytes:
        return bytes(render(made, options, duration_s=CLIP_S, identify=as_french).body)

    body = body_of(TREE, POLYGLOT)
    assert [each.code for each in openai_schema.TranscriptionJson.model_validate_json(body).languages] == ["fr"]
    assert json.loads(body_of(NOTHING, POLYGLOT))["languages"] == []
    assert "languages" not in json.loads(body_of(TREE, Options()))
    stream = EventStream(POLYGLOT, as_french)
    stream.delta(TREE.text, TREE.tokens)
    (done,) = openai_schema.events_of(stream.done(CLIP_S))
    assert [each.code for each in done.languages] == ["fr"]


def test_a_text_without_words_is_in_no_language_but_verbose_json_has_one():
    (done,) = openai_schema.events_of(EventStream(POLYGLOT, as_french).done(1.0))
    assert (done.languages, done.model_fields_set >= {"languages"}) == ([], True)
    assert verbose(NOTHING, 1.0, language="mt", languages=("en", "mt")).language == "maltese"
