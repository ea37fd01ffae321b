"""Who said what: dialogues of bundled clips through the whole service, with its own network, in every format."""

import base64
import json
import re
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from typing import Any

import httpx
import openai_schema
import pytest
from dialogues import Dialogue, clips, dialogue, joined
from media import encode, pcm16, wav
from realtime_client import COMPLETED, Client, session
from running_service import Service, until

from src.metrics.log import metrics_path

VOICES = ("piper-joe", "rhvoice-slt")
LEAST = 0.95
"""Share of the words that are to have their speaker."""
SEGMENT = "conversation.item.input_audio_transcription.segment"

Said = Iterable[tuple[float, float, str]]
"""Start, end and speaker of words or segments."""


@cache
def talk() -> Dialogue:
    return dialogue(VOICES, seed=1, turns=8)


@cache
def audio() -> bytes:
    return wav(talk().samples)


@cache
def reference(voice: str, seconds: float = 6.0) -> bytes:
    """A recording of one voice."""
    turns = clips()[voice]
    said = joined(turns * 4, [0.1] * len(turns) * 4)
    return wav(said.samples[: round(seconds * 16_000)])


def data_url(data: bytes, kind: str = "audio/wav") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def right_share(said: Said, names: dict[str, str] | None = None) -> float:
    """Return the share of the dialogue's words whose middle lies in speech of their speaker.

    `names` are the speakers of the voices: unless told otherwise A, B in the order in which they speak.
    """
    found = list(said)
    names = names or dict(zip(dict.fromkeys(talk().voices), "AB", strict=True))
    spoken = [
        ((word.start_s + word.end_s) / 2, names[voice]) for word, voice in zip(talk().words, talk().voices, strict=True)
    ]
    nearest = [min(found, key=lambda each: max(each[0] - at_s, at_s - each[1], 0.0))[2] for at_s, _ in spoken]
    return sum(one == other for one, (_, other) in zip(nearest, spoken, strict=True)) / len(spoken)


def diarized(answer: httpx.Response) -> openai_schema.TranscriptionDiarized:
    return openai_schema.TranscriptionDiarized.model_validate_json(answer.raise_for_status().content)


def spans(segments: Any) -> list[tuple[float, float, str]]:
    return [(each.start, each.end, each.speaker) for each in segments]


def test_two_speakers_are_told_apart(service: Service):
    answer = diarized(service.upload(audio(), response_format="diarized_json", chunking_strategy="auto"))
    assert {each.speaker for each in answer.segments} == {"A", "B"}
    assert right_share(spans(answer.segments)) >= LEAST
    assert " ".join(each.text for each in answer.segments) == answer.text
    assert answer.text == service.upload(audio()).json()["text"]
    assert [each.id for each in answer.segments] == [f"seg_{number}" for number in range(len(answer.segments))]
    assert [each.start for each in answer.segments] == sorted(each.start for each in answer.segments)


def test_our_formats_say_who_speaks_where_that_is_asked(service: Service):
    fields: dict[str, Any] = {"diarize": "true", "timestamp_granularities[]": ["word", "segment"]}
    answer = service.upload(audio(), response_format="verbose_json", **fields)
    body = openai_schema.TranscriptionVerbose.model_validate_json(answer.raise_for_status().content)
    assert right_share(spans(body.words)) >= LEAST
    assert right_share(spans(body.segments)) >= LEAST
    turns = [speaker for speaker, _ in groupby(each.speaker for each in body.segments)]
    voices = re.findall("^<v (.)>", service.upload(audio(), response_format="vtt", **fields).text, re.MULTILINE)
    names = re.findall("^(.): ", service.upload(audio(), response_format="srt", **fields).text, re.MULTILINE)
    assert [speaker for speaker, _ in groupby(voices)] == [speaker for speaker, _ in groupby(names)] == turns
    assert "speaker" not in service.upload(audio(), response_format="verbose_json").text


def test_a_stream_has_segments_with_their_speakers_beside_its_deltas(service: Service):
    answer = service.upload(audio(), response_format="diarized_json", stream="true")
    *events, done = [json.loads(block.removeprefix("data: ")) for block in answer.text.split("\n\n")[:-1]]
    kinds = {
        kind: [each for each in events if each["type"] == f"transcript.text.{kind}"] for kind in ("segment", "delta")
    }
    segments = [openai_schema.SpeakerSegment.model_validate(each) for each in kinds["segment"]]
    deltas = [openai_schema.DeltaEvent.model_validate(each) for each in kinds["delta"]]
    assert len(segments) + len(deltas) == len(events)
    assert len(deltas) > 1
    assert "".join(each.delta for each in deltas) == openai_schema.DoneEvent.model_validate(done).text
    assert right_share(spans(segments)) >= LEAST


def test_a_stream_with_times_ends_with_the_speakers_that_it_has_sent(service: Service):
    fields: dict[str, Any] = {"timestamp_granularities[]": ["word", "segment"], "diarize": "true", "stream": "true"}
    answer = service.upload(audio(), response_format="verbose_json", **fields)
    *events, done = openai_schema.timed_events_of(answer.content)
    sent = [each for each in events if each.type == "transcript.text.segment"]
    assert [each.speaker for each in sent] == [each.speaker for each in done.segments]
    assert [word for each in sent for word in each.words] == done.words
    assert {cue.speaker for cue in done.cues} == {"A", "B"}


def test_known_speakers_have_their_names(service: Service):
    names = ("Joe", "Slt")
    references = [
        data_url(reference(VOICES[0])),
        data_url(encode(talk_of(VOICES[1]), "mp3", "mp3", rate=16_000), "audio/mpeg"),
    ]
    fields: dict[str, Any] = {"known_speaker_names[]": names, "known_speaker_references[]": references}
    answer = diarized(service.upload(audio(), response_format="diarized_json", **fields))
    assert {each.speaker for each in answer.segments} == set(names)
    assert right_share(spans(answer.segments), dict(zip(VOICES, names, strict=True))) >= LEAST
    body = {
        "input_audio": {"data": base64.b64encode(audio()).decode()},
        "response_format": "diarized_json",
        "known_speaker_names": ["Joe"],
        "known_speaker_references": references[:1],
    }
    answer = diarized(service.http.post("/v1/audio/transcriptions", json=body))
    assert {each.speaker for each in answer.segments} == {"Joe", "A"}


def talk_of(voice: str) -> Any:
    turns = clips()[voice]
    return joined(turns * 3, [0.1] * len(turns) * 3).samples[: 16_000 * 8]


def test_the_number_of_speakers_may_be_said(service: Service):
    answer = diarized(service.upload(audio(), response_format="diarized_json", num_speakers="1"))
    assert {each.speaker for each in answer.segments} == {"A"}


JOE = data_url(b"RIFF")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"num_speakers": "9"}, "num_speakers"),
        ({"known_speaker_names[]": ["Joe"]}, "known_speaker_references"),
        ({"known_speaker_names[]": ["Joe"] * 2, "known_speaker_references[]": [JOE] * 2}, "known_speaker_names"),
        ({"known_speaker_names[]": [*"abcde"], "known_speaker_references[]": [JOE] * 5}, "known_speaker_names"),
        ({"known_speaker_names[]": ["Joe"], "known_speaker_references[]": ["joe.wav"]}, "known_speaker_references"),
        ({"known_speaker_names[]": ["Joe"], "known_speaker_references[]": [JOE]}, "known_speaker_references"),
        (
            {"known_speaker_names[]": ["Joe"], "known_speaker_references[]": ["data:,hello%20world"]},
            "known_speaker_references",
        ),
    ],
)
def test_what_is_wrong_with_known_speakers_is_named(service: Service, fields, param):
    answer = service.upload(audio(), response_format="diarized_json", **fields)
    detail = openai_schema.ErrorBody.model_validate_json(answer.content).error
    assert (answer.status_code, detail.param) == (400, param)


@pytest.mark.parametrize("seconds", [1.5, 11.0])
def test_a_recording_of_a_known_speaker_has_two_to_ten_seconds(service: Service, seconds):
    fields: dict[str, Any] = {
        "known_speaker_names[]": ["Joe"],
        "known_speaker_references[]": [data_url(reference(VOICES[0], seconds))],
    }
    answer = service.upload(audio(), response_format="diarized_json", **fields)
    detail = openai_schema.ErrorBody.model_validate_json(answer.content).error
    assert (answer.status_code, detail.param) == (400, "known_speaker_references")


def test_silence_has_no_speakers(service: Service):
    silence = wav(0.0 * talk().samples[: 3 * 16_000])
    assert diarized(service.upload(silence, response_format="diarized_json")).segments == []


def said(client: Client, voice: str, number: int) -> list[dict[str, Any]]:
    """Say a clip in a session of its own turns, and return the segments of its item."""
    client.append(pcm16(clips()[voice][number].samples))
    client.commit()
    return [event for event in client.until(COMPLETED) if event["type"] == SEGMENT]


def test_a_session_knows_its_speakers_again(service: Service):
    with session(service, "?intent=transcription&sample_rate=16000&model=gpt-4o-transcribe-diarize") as client:
        client.send("session.update", session={"turn_detection": None})
        client.until("session.updated")
        heard = [said(client, voice, number) for voice, number in [(VOICES[0], 0), (VOICES[1], 0), (VOICES[0], 1)]]
    assert all(heard)
    assert [{segment["speaker"] for segment in segments} for segments in heard] == [{"A"}, {"B"}, {"A"}]
    with session(service, "?intent=transcription&sample_rate=16000") as client:
        client.send("session.update", session={"turn_detection": None})
        assert said(client, VOICES[0], 0) == []


def test_only_requests_that_ask_for_speakers_take_time_for_them(service: Service):
    ids = []
    for fields in ({}, {"diarize": "true"}):
        answer = service.upload(wav(clips()[VOICES[0]][0].samples), **fields).raise_for_status()
        ids.append(answer.headers["x-request-id"])
    log = metrics_path(service.log_dir)
    until(lambda: ids[1] in log.read_text())
    lines = {line["request_id"]: line for line in map(json.loads, log.read_text().splitlines())}
    assert "duration_diarize_s" not in lines[ids[0]]
    assert lines[ids[1]]["duration_diarize_s"] > 0
