"""The format `diarized_json`: OpenAI's shape, with a speaker for each segment."""

import json

import openai_schema
from made_transcripts import spoken, spoken_by

from src.api.options import Options
from src.api.responses import EventStream, render
from src.api.speakers import diarized
from src.text.transcript import Transcript

TREE = spoken("The black bi|cycle is un|der the tree. ~1 Yes, it is.")
CLIP_S = 4.25
DIARIZED = Options(response_format="diarized_json")


def test_all_segments_are_one_speakers_and_their_texts_are_the_text():
    body = render(TREE, DIARIZED, duration_s=CLIP_S)
    assert body.headers["content-type"] == "application/json"
    answer = openai_schema.TranscriptionDiarized.model_validate_json(bytes(body.body))
    assert [segment.speaker for segment in answer.segments] == ["A", "A"]
    assert [segment.id for segment in answer.segments] == ["seg_0", "seg_1"]
    assert [segment.text for segment in answer.segments] == ["The black bicycle is under the tree.", "Yes, it is."]
    assert (answer.text, answer.duration, answer.usage.seconds) == (TREE.text, CLIP_S, 5)
    assert all(segment.start <= segment.end <= CLIP_S for segment in answer.segments)


def test_a_segment_is_cut_where_the_speaker_changes_and_the_text_stays():
    label = spoken_by({0: "A", 0.8: "Ben", 2: "A"})
    body = render(TREE, DIARIZED, duration_s=CLIP_S, label=label)
    answer = openai_schema.TranscriptionDiarized.model_validate_json(bytes(body.body))
    assert [(each.id, each.speaker, each.text) for each in answer.segments] == [
        ("seg_0", "A", "The black bicycle is"),
        ("seg_1", "Ben", "under the tree."),
        ("seg_2", "A", "Yes, it is."),
    ]
    assert answer.text == TREE.text
    events = EventStream(DIARIZED, label=label)
    stream = events.delta(TREE.text, TREE.tokens) + events.done(CLIP_S)
    segments = [json.loads(line[6:]) for line in stream.decode().split("\n\n")[1:-2]]
    assert segments == [each.model_dump() for each in answer.segments]


def test_silence_has_no_segments():
    assert diarized(Transcript(""), 2.0).segments == []
    assert json.loads(bytes(render(Transcript(""), DIARIZED, duration_s=2.0).body))["segments"] == []


def test_a_stream_has_the_same_segments_between_its_deltas_and_its_end():
    stream = EventStream(DIARIZED)
    events = stream.delta(TREE.text, TREE.tokens) + stream.done(CLIP_S)
    parsed = [json.loads(line.removeprefix("data: ")) for line in events.decode().split("\n\n")[:-1]]
    segments = parsed[1:-1]
    assert segments == [segment.model_dump() for segment in diarized(TREE, CLIP_S).segments]
    for segment in segments:
        openai_schema.SpeakerSegment.model_validate(segment)
    assert [event["type"] for event in (parsed[0], parsed[-1])] == ["transcript.text.delta", "transcript.text.done"]
    assert "segments" not in parsed[-1]


def test_other_streams_have_no_segments():
    stream = EventStream(Options())
    assert b"transcript.text.segment" not in stream.delta(TREE.text, TREE.tokens) + stream.done(CLIP_S)
