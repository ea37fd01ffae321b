"""Segments of a transcript that comes in parts: as early as they are final, and the same as those of the whole."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import GOLDEN, length_s, spoken, transcripts

from src.text.segment_stream import SegmentStream
from src.text.segments import segments_of
from src.text.transcript import Token, Transcript
from src.text.words import words_of


def in_parts(transcript: Transcript, cuts: list[int]) -> list[tuple[str, tuple]]:
    """Text and tokens of the parts of a transcript that is cut before the words at `cuts`."""
    words = words_of(transcript, 1e9)
    bounds = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(words)), len(words)]
    parts = []
    for first, last in pairwise(bounds):
        text = " ".join(word.written for word in words[first:last])
        tokens = tuple(token for word in words[first:last] for token in word.tokens)
        parts.append((f" {text}" if parts else text, tokens))
    return parts


def streamed(parts, duration_s: float) -> list[tuple]:
    """The segments that each part makes final, and at last those that remain."""
    stream = SegmentStream()
    return [*(stream.add(text, tokens) for text, tokens in parts), stream.finish(duration_s)]


def test_a_segment_comes_once_two_seconds_of_speech_follow_the_next_ones_begin():
    made = spoken("One two. ~0.5 Three four five six seven eight nine ten e|le|ven twelve thir|teen four|teen.")
    first, *rest = streamed(in_parts(made, [3, 8, 11]), length_s(made))
    assert first == ()
    assert [[segment.text for segment in each] for each in rest] == [
        [],
        [],
        ["One two."],
        ["Three four five six seven eight nine ten eleven twelve thirteen fourteen."],
    ]


def test_each_of_many_sentences_comes_while_others_are_still_to_come():
    made = spoken(" ".join("The beach was full. ~0.4 It was hot. ~0.6" for _ in range(40)))
    parts = in_parts(made, list(range(10, 280, 10)))
    arrived = streamed(parts, length_s(made))
    assert sum(map(len, arrived[:-1])) >= 75
    assert [segment for each in arrived for segment in each] == list(segments_of(made, length_s(made)))


def test_a_long_sentence_is_cut_as_that_of_the_whole():
    made = spoken("and ~0.2 so on " * 100)
    arrived = streamed(in_parts(made, list(range(7, 300, 7))), length_s(made))
    assert [segment for each in arrived for segment in each] == list(segments_of(made, length_s(made)))
    assert sum(map(len, arrived[:-1])) >= 1


def test_the_golden_transcript_has_the_same_segments_word_by_word():
    clip_s = length_s(GOLDEN)
    parts = in_parts(GOLDEN, list(range(100)))
    assert [segment for each in streamed(parts, clip_s) for segment in each] == list(segments_of(GOLDEN, clip_s))


def test_words_of_one_frame_stay_together():
    made = Transcript("Yes. No. Well then.", spoken("Yes. No. Well then.").tokens)
    at_once = tuple(Token(token.id, token.piece, 1.0, 1.08, -1) for token in made.tokens[:4])
    later = tuple(
        Token(token.id, token.piece, 9.0 + 3 * number, 9.2 + 3 * number, -1)
        for number, token in enumerate(made.tokens[4:])
    )
    whole = Transcript(made.text, at_once + later)
    arrived = [segment for each in streamed(in_parts(whole, [1, 2, 3]), 20.0) for segment in each]
    assert arrived == list(segments_of(whole, 20.0))


def test_nothing_and_marks_alone_are_as_in_the_whole():
    assert streamed([], 3.0) == [()]
    assert streamed([("", ())], 3.0) == [(), ()]
    marks = spoken("one").tokens
    assert streamed([("...", marks)], 3.0) == [(), segments_of(Transcript("...", marks), 3.0)]


def test_a_text_without_tokens_keeps_its_words():
    arrived = streamed([("some words", ()), (" and more.", ())], 3.0)
    assert [segment.text for each in arrived for segment in each] == ["some words and more."]


@given(transcripts(), st.lists(st.integers(1, 24)))
def test_the_segments_of_any_parts_are_those_of_the_whole(made, cuts):
    transcript, _, clip_s = made
    arrived = [segment for each in streamed(in_parts(transcript, cuts), clip_s) for segment in each]
    assert arrived == list(segments_of(transcript, clip_s))
