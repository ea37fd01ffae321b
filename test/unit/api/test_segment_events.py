"""Segments of streams and of `diarized_json`: one shape, with words where times are asked for."""

import openai_schema
from made_transcripts import spoken, spoken_by

from src.api.segment_events import speaker_segment, timed_segment, timed_word
from src.text.segments import segments_of
from src.text.speaker_turns import by_speaker

TREE = spoken("The black bi|cycle. Yes.")
UNTOLD = segments_of(TREE, 2.0)
TOLD = by_speaker(UNTOLD, spoken_by({0: "A", 0.64: "B"}))


def test_openais_shape_has_a_speaker_and_no_words():
    assert speaker_segment(1, TOLD[1]).model_dump() == {
        "type": "transcript.text.segment",
        "id": "seg_1",
        "start": 0.64,
        "end": 0.8,
        "text": "Yes.",
        "speaker": "B",
    }
    openai_schema.SpeakerSegment.model_validate_json(speaker_segment(0, UNTOLD[0]).model_dump_json())
    assert speaker_segment(0, UNTOLD[0]).speaker == "A"


def test_with_times_a_segment_has_its_words_and_the_space_before_it():
    event = openai_schema.SegmentEvent.model_validate_json(
        timed_segment(0, UNTOLD[0]).model_dump_json(exclude_unset=True)
    )
    assert (event.text, event.speaker, [word.word for word in event.words]) == (
        " The black bicycle.",
        "",
        ["The", "black", "bicycle"],
    )
    assert {word.speaker for word in event.words} == {None}


def test_words_have_the_speaker_where_that_is_asked_for():
    event = timed_segment(1, TOLD[1]).model_dump(exclude_unset=True)
    assert event["words"] == [{"word": "Yes", "start": 0.64, "end": 0.8, "speaker": "B"}]
    assert "speaker" not in timed_word(UNTOLD[0].words[0]).model_dump(exclude_unset=True)
