"""Cues from segments, and the files that they make."""

import io
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_transcripts import GOLDEN, length_s, spoken, spoken_by, transcripts

from src.text.segments import segments_of
from src.text.speaker_turns import by_speaker
from src.text.spelling import strip_marks
from src.text.subtitles import MAX_CUE_S, MAX_LINE, Cue, cues_of, srt, vtt
from src.text.transcript import Transcript

FILES = Path(__file__).parents[2] / "golden"
WRITERS = {"srt": srt, "vtt": vtt}


def cues(made: Transcript, clip_s: float | None = None) -> tuple[Cue, ...]:
    """The cues of a transcript, whose clip ends a second after it unless told otherwise."""
    clip_s = length_s(made) + 1 if clip_s is None else clip_s
    return cues_of(segments_of(made, clip_s), clip_s)


def lines(script: str) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues(spoken(script))]


def spans(script: str, clip_s: float | None = None) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in cues(spoken(script), clip_s)]


def read_by_ffmpeg(file: str, kind: str) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds and text of each cue as FFmpeg's demuxer has it."""
    with av.open(io.BytesIO(file.encode()), format={"srt": "srt", "vtt": "webvtt"}[kind]) as container:
        (stream,) = container.streams
        scale = 1000 * stream.time_base
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [
            (int(packet.pts * scale), int((packet.pts + packet.duration) * scale), bytes(packet).decode())
            for packet in packets
        ]


def test_a_short_sentence_is_one_line():
    assert lines("The beach was pop|u|lar. Was it?") == [("The beach was popular.",), ("Was it?",)]


def test_a_longer_sentence_is_two_lines_of_like_length():
    assert lines("the red bicycle is across from the hill behind the tree") == [
        ("the red bicycle is across", "from the hill behind the tree"),
    ]


def test_lines_are_rather_broken_after_punctuation():
    assert lines("the red bicycle is across the hill, said the old man to her") == [
        ("the red bicycle is across the hill,", "said the old man to her"),
    ]


def test_a_sentence_too_long_for_one_cue_is_cut_after_punctuation_first():
    first, second = lines(
        "a brown mouse and a hungry horse waited, ~0.5 while the concert was on Monday at four ~0.5 fifteen in the "
        "morning behind the tree"
    )
    assert " ".join(first).endswith("waited,")
    assert " ".join(second).startswith("while")


def test_without_punctuation_it_is_cut_at_a_pause():
    first, second = lines(
        "a brown mouse and a hungry horse waited behind the tree ~0.5 the concert was on Monday at four fifteen in the "
        "morning"
    )
    assert " ".join(first).endswith("tree")
    assert " ".join(second).startswith("the concert")


def test_without_pauses_it_is_cut_in_like_parts():
    parts = [" ".join(cue) for cue in lines("la la la la " * 12)]
    assert len(parts) == 2
    assert len(parts[0]) == pytest.approx(len(parts[1]), abs=3)


def test_no_sliver_is_left_for_the_sake_of_a_comma():
    first, second = lines("Yes, " + "la " * 28)
    assert len(" ".join(first)) == pytest.approx(len(" ".join(second)), abs=5)


def test_a_word_longer_than_a_line_stays_whole_on_a_line_of_its_own():
    giant = "x" * 50
    assert lines(f"a {giant}, b c") == [("a", f"{giant},"), ("b c",)]
    assert lines(f"{giant} {giant}") == [(giant, giant)]


def test_a_cue_lasts_seven_seconds_at_most_and_is_then_cut_at_the_longest_pauses_in_reach():
    found = cues(spoken("~1 " + "slow ~0.9 " * 20))
    assert all(cue.end_ms - cue.start_ms <= 7000 for cue in found)
    assert sum(" ".join(cue.lines).count("slow") for cue in found) == 20


def test_a_short_cue_stays_for_five_sixths_of_a_second_where_there_is_room():
    assert spans("No. ~2 Yes. ~0.5 Oh well.", clip_s=2.9) == [(0, 833), (2160, 2900)]
    assert spans("No. ~0.7 Yes.", clip_s=5) == [(0, 833), (860, 1693)]


def test_a_cue_that_nobody_could_read_is_shown_together_with_the_next():
    assert lines("No. Yes! ~0.2 I am not sure about it. ~1 Oh.") == [("No. Yes! I am not sure about it.",), ("Oh.",)]


def test_words_that_were_heard_at_one_time_still_make_cues_of_some_length():
    found = cues(spoken("la " * 50), clip_s=0.0)
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("kind", WRITERS)
def test_the_files_are_as_they_were_when_a_person_checked_them(kind):
    assert WRITERS[kind](cues(GOLDEN)) == (FILES / f"transcript.{kind}").read_text()


def test_nothing_heard_makes_an_empty_srt_and_a_vtt_of_its_first_line():
    assert srt(()) == ""
    assert vtt(()) == "WEBVTT\n\n"
    assert cues_of(segments_of(Transcript("..."), 1), 1) == ()


def test_speakers_are_voices_in_vtt_and_names_in_srt():
    talk = spoken("Have you seen it? Yes. ~1 Not I.")
    clip_s = length_s(talk) + 1
    label = spoken_by({0: "A", 0.64: "R&D -->", 1.5: "A"})
    found = cues_of(by_speaker(segments_of(talk, clip_s), label), clip_s)
    assert [(cue.speaker, cue.text) for cue in found] == [
        ("A", "Have you seen it?"),
        ("R&D -->", "Yes."),
        ("A", "Not I."),
    ]
    assert re.findall("[\\d:,]+ --> .*\n(.*)\n", srt(found)) == ["A: Have you seen it?", "R&D ->: Yes.", "A: Not I."]
    assert re.findall("[\\d:.]+ --> .*\n(.*)\n", vtt(found)) == [
        "<v A>Have you seen it?",
        "<v R&amp;D -&gt;>Yes.",
        "<v A>Not I.",
    ]
    assert [text for _, _, text in read_by_ffmpeg(srt(found), "srt")][2] == "A: Not I."
    assert len(read_by_ffmpeg(vtt(found), "vtt")) == 3


def test_short_turns_of_two_speakers_share_no_cue():
    talk = spoken("No. Yes. No. Yes.")
    found = cues_of(by_speaker(segments_of(talk, 9), spoken_by({0: "A", 0.16: "B", 0.32: "A", 0.48: "B"})), 9)
    assert [(cue.speaker, cue.text) for cue in found] == [("A", "No."), ("B", "Yes."), ("A", "No."), ("B", "Yes.")]
    assert all(cue.start_ms < cue.end_ms for cue in found)
    assert [cue.start_ms for cue in found] == sorted(cue.start_ms for cue in found)


def is_one_word(line: str) -> bool:
    """Whether a line is one word, perhaps with marks that stand alone."""
    return sum(bool(strip_marks(part)) for part in line.split()) <= 1


@given(transcripts(), st.sampled_from(["A", "Margaret", "x" * 64]))
def test_a_line_has_room_for_the_name_before_it(made, name):
    transcript, _, clip_s = made
    found = cues_of(by_speaker(segments_of(transcript, clip_s), spoken_by({0: name})), clip_s)
    for cue in found:
        first, *others = cue.lines
        assert len(first) <= max(21, MAX_LINE - len(f"{name}: ")) or is_one_word(first)
        assert all(len(line) <= MAX_LINE or is_one_word(line) for line in others)
        assert len(others) <= 1
    assert " ".join(line for cue in found for line in cue.lines) == " ".join(transcript.text.split())


def test_times_have_hours_and_milliseconds():
    cue = Cue(3_661_007, 360_000_000, ("Late.",))
    assert srt([cue]) == "1\n01:01:01,007 --> 100:00:00,000\nLate.\n\n"
    assert vtt([cue]) == "WEBVTT\n\n01:01:01.007 --> 100:00:00.000\nLate.\n\n"


@pytest.mark.parametrize("arrow", ["-->", "--->", "------>"])
def test_an_arrow_in_the_text_is_no_timing_line(arrow):
    cue = Cue(0, 1000, (f"a {arrow} b",))
    assert srt([cue]).endswith("\na -> b\n\n")
    assert vtt([cue]).endswith("\na -&gt; b\n\n")


def test_vtt_escapes_what_would_be_markup_and_srt_cannot():
    cue = Cue(0, 1000, ("<b>R&D</b> &lt; 1",))
    assert vtt([cue]).endswith("\n&lt;b&gt;R&amp;D&lt;/b&gt; &amp;lt; 1\n\n")
    assert srt([cue]).endswith("\n<b>R&D</b> &lt; 1\n\n")


def test_ffmpeg_reads_both_files():
    read = read_by_ffmpeg(srt(cues(GOLDEN)), "srt")
    assert [(start, end) for start, end, _ in read] == [(cue.start_ms, cue.end_ms) for cue in cues(GOLDEN)]
    assert " ".join(text for _, _, text in read).split() == GOLDEN.text.replace("---", "-").replace("--", "-").split()
    escaped = [(*times, text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) for *times, text in read]
    assert read_by_ffmpeg(vtt(cues(GOLDEN)), "vtt") == escaped


@settings(max_examples=80)
@given(transcripts())
def test_cues_hold_all_words_in_order_within_two_lines_and_seven_seconds(made):
    transcript, _, clip_s = made
    found = cues(transcript, clip_s)
    assert " ".join(line for cue in found for line in cue.lines) == transcript.text
    for cue in found:
        assert 1 <= len(cue.lines) <= 2
        assert 0 < cue.end_ms - cue.start_ms <= MAX_CUE_S * 1000
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))
    whole = {word.written for segment in segments_of(transcript, clip_s) for word in segment.words}
    assert all(len(line) <= MAX_LINE or line in whole for cue in found for line in cue.lines)


@settings(max_examples=40)
@given(transcripts())
def test_both_files_give_a_reader_the_same_times_and_text(made):
    transcript, _, clip_s = made
    found = cues(transcript, clip_s)
    if found:
        read = [(cue.start_ms, cue.end_ms, "\n".join(cue.lines)) for cue in found]
        assert read_by_ffmpeg(srt(found), "srt") == read
        unescaped = [(*times, text.replace("&amp;", "&")) for *times, text in read_by_ffmpeg(vtt(found), "vtt")]
        assert unescaped == read


def test_an_accent_of_its_own_code_takes_no_room_in_a_line():
    line = "Příliš žluťoučký kůň úpěl ďábelské ódy ooo"
    assert len(line) == MAX_LINE
    for form in ("NFC", "NFD"):
        assert lines(unicodedata.normalize(form, line)) == [(unicodedata.normalize(form, line),)]
    assert len(lines(line + "o x")[0]) == 2
