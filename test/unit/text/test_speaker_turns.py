"""Segments by speaker: cut at each change of speaker, with all words and tokens."""

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import length_s, spoken, spoken_by, transcripts

from src.text.segments import segments_of
from src.text.speaker_turns import FIRST_SPEAKER, by_speaker
from src.text.transcript import Transcript

TALK = spoken("Have you seen it? Yes I have and you. ~2 Not yet.")


def test_a_segment_is_cut_where_the_speaker_changes():
    segments = by_speaker(segments_of(TALK, length_s(TALK)), spoken_by({0: "A", 0.64: "B", 1.12: "A", 3: "C"}))
    assert [(each.speaker, each.text) for each in segments] == [
        ("A", "Have you seen it?"),
        ("B", "Yes I have"),
        ("A", "and you."),
        ("C", "Not yet."),
    ]
    assert [(each.start_s, each.end_s) for each in segments[1:3]] == [(0.64, 1.12), (1.12, 1.44)]


def test_who_does_not_ask_for_speakers_gets_the_segments_as_they_are():
    segments = segments_of(TALK, length_s(TALK))
    assert by_speaker(segments, None) == segments
    assert {each.speaker for each in segments} == {""}


def test_marks_alone_are_the_first_speakers():
    (segment,) = by_speaker(segments_of(Transcript("..."), 1.0), spoken_by({0: "B"}))
    assert (segment.speaker, segment.text) == (FIRST_SPEAKER, "...")
    assert by_speaker((), spoken_by({0: "B"})) == ()


@given(transcripts(), st.randoms())
def test_each_word_keeps_its_speaker_and_nothing_is_lost(made, random):
    transcript, _, duration_s = made
    whole = segments_of(transcript, duration_s)
    words = [word for segment in whole for word in segment.words]
    speakers = [random.choice("ABC") for _ in words]
    parts = by_speaker(whole, lambda asked: speakers[: len(asked)])
    assert [word for part in parts for word in part.words] == words
    assert [part.speaker for part in parts for _ in part.words] == speakers
    assert [token for part in parts for token in part.tokens] == [token for each in whole for token in each.tokens]
    assert " ".join(part.text for part in parts) == " ".join(each.text for each in whole)
    for segment in whole:
        own = [part for part in parts if part.words and part.words[0] in segment.words]
        assert all(one.speaker != other.speaker for one, other in pairwise(own))
    assert len(parts) >= len(list(groupby(speakers)))
