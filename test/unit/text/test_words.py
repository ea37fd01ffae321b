"""Words and segments from tokens."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from made_transcripts import LOGPROB, PIECE_S, length_s, spoken, transcripts

from src.text.transcript import UNKNOWN, WORD_START, Token, Transcript
from src.text.words import MAX_SEGMENT_S, PAUSE_S, Segment, Word, segments_of, words_of


def words(script: str) -> tuple[Word, ...]:
    """The words of a script, whose clip ends with the last of them."""
    transcript = spoken(script)
    return words_of(transcript, length_s(transcript))


def segments(script: str) -> tuple[Segment, ...]:
    transcript = spoken(script)
    return segments_of(transcript, length_s(transcript))


def texts(script: str) -> list[str]:
    return [segment.text for segment in segments(script)]


def tokens(*pieces: tuple[str, float, float]) -> tuple[Token, ...]:
    return tuple(Token(0, piece, start_s, end_s, LOGPROB) for piece, start_s, end_s in pieces)


def times(*pieces: tuple[str, float, float], clip_s: float) -> list[tuple[float, float]]:
    """When each of the words that `pieces` spell is heard."""
    text = "".join(piece for piece, _, _ in pieces).replace(WORD_START, " ").strip()
    return [(word.start_s, word.end_s) for word in words_of(Transcript(text, tokens(*pieces)), clip_s)]


def check_times(spans: list[tuple[float, float]], clip_s: float) -> None:
    flat = [time_s for span in spans for time_s in span]
    assert flat == sorted(flat)
    assert all(0 <= time_s <= clip_s for time_s in flat)


def test_pieces_make_whole_words_with_their_times():
    hello, world = words("Hel|lo wor|l|d")
    assert (hello.text, hello.start_s, hello.end_s) == ("Hello", 0.0, 0.32)
    assert (world.text, world.start_s, world.end_s) == ("world", 0.32, 0.8)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("tree.", "tree"),
        ("Yes,", "Yes"),
        ("o'clock?", "o'clock"),
        ("twenty-one!", "twenty-one"),
        ("29.43.", "29.43"),
        ("$5,", "$5"),
        ("25%.", "25%"),
        ("-5", "-5"),
        ("U.S.", "U.S."),
        ("p.m..", "p.m."),
        ("dogs'", "dogs'"),
        ("R&D;", "R&D"),
        ('"quoted"', "quoted"),
        ("(aside)...", "aside"),
        ("wait\u2014", "wait"),
        ("\u00bfQu\u00e9?", "Qu\u00e9"),
        ("na\u0308chste.", "na\u0308chste"),
    ],
)
def test_a_word_has_no_punctuation_around_it_but_all_that_is_inside(written, text):
    (word,) = words_of(Transcript(written, tokens((WORD_START + written, 0, 1))), 1)
    assert (word.text, word.written) == (text, written)


def test_late_punctuation_does_not_stretch_a_word_over_the_pause():
    transcript = spoken("The tree. ~2 He ran.")
    stop = next(token for token in transcript.tokens if token.piece == ".")
    assert stop.start_s > 2
    assert [word.end_s for word in words_of(transcript, 5)] == [0.16, 0.32, 2.48, 2.64]


def test_a_mark_inside_a_number_does_not_part_it():
    (word,) = words("29|.|43.")
    assert (word.text, word.written, word.end_s) == ("29.43", "29.43.", 3 * PIECE_S)


def test_a_mark_that_stands_alone_is_no_word():
    pieces = ((WORD_START + "no", 0, 0.4), (WORD_START + "-", 2, 2.1), (WORD_START + "yes", 3, 3.4))
    no, yes = words_of(Transcript("no - yes", tokens(*pieces)), 4)
    assert (no.text, no.written, no.end_s) == ("no", "no -", 0.4)
    assert (yes.text, yes.start_s) == ("yes", 3.0)


def test_what_the_tokenizer_cannot_spell_is_a_word_and_does_not_shift_the_others():
    pieces = ((WORD_START + "a", 0, 0.2), (UNKNOWN, 1, 1.2), (WORD_START + "b", 2, 2.2))
    found = words_of(Transcript("a \u2047 b", tokens(*pieces)), 3)
    assert [(word.text, word.start_s) for word in found] == [("a", 0.0), ("\u2047", 1.0), ("b", 2.0)]


def test_a_character_that_is_spelled_in_bytes_does_not_shift_the_words_after_it():
    pieces = (("<0xE2>", 1, 1), ("<0x82>", 1, 1), ("<0xAC>", 1, 1.2), (WORD_START + "is", 2, 2.2), ("n't", 2.2, 2.3))
    pieces = ((WORD_START + "The", 0, 0.2), (WORD_START, 1, 1), *pieces, (WORD_START + "much", 3, 3.2))
    found = words_of(Transcript("The \u20ac isn't much", tokens(*pieces)), 4)
    assert [(word.text, word.start_s) for word in found] == [("The", 0), ("\u20ac", 1), ("isn't", 2), ("much", 3)]


def test_words_that_begin_in_one_frame_share_the_time_to_the_next():
    a, b, c = (WORD_START + letter for letter in "abc")
    assert times((a, 1, 1), (b, 1, 1), (c, 2, 2), clip_s=3) == [(1.0, 1.08), (1.08, 1.16), (2.0, 2.08)]
    assert times((a, 1, 1), (b, 1, 1.4), (c, 2, 2), clip_s=3) == [(1.0, 1.08), (1.08, 1.4), (2.0, 2.08)]
    assert times((a, 1, 1), (b, 1, 1), (c, 1.08, 1.08), clip_s=3) == [(1.0, 1.04), (1.04, 1.08), (1.08, 1.16)]


def test_a_word_that_lasts_into_the_next_is_cut_there():
    assert times((WORD_START + "a", 0, 0.5), (WORD_START + "b", 0.4, 0.6), clip_s=1) == [(0.0, 0.4), (0.4, 0.6)]


def test_no_word_passes_the_end_of_the_clip():
    a, b = WORD_START + "a", WORD_START + "b"
    assert times((a, 0.8, 1.2), (b, 1.04, 1.36), clip_s=1.0) == [(0.8, 0.92), (0.92, 1.0)]
    assert times((a, 0.16, 0.32), clip_s=0.2505) == [(0.16, 0.25)]
    assert times((a, 0.0, 0.08), clip_s=0.05) == [(0.0, 0.05)]


def test_a_word_has_the_probability_of_its_letters():
    (word,) = words("tre|e.")
    assert word.logprob == 2 * LOGPROB


def test_a_sentence_is_a_segment():
    assert texts("Is it? Yes! It costs $29.43. Good.") == ["Is it?", "Yes!", "It costs $29.43.", "Good."]


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Smith met Mrs. Jones.",
        "J. R. Tolkien wrote it.",
        "The U.S. Army is large.",
        "It opens at 5 p.m. on Monday.",
        "Bring fruit, e.g. apples, i.e. food.",
        "It is 3.5 miles, or 1,000 steps.",
    ],
)
def test_a_stop_inside_a_sentence_does_not_end_it(sentence):
    assert texts(f"{sentence} Then more.") == [sentence, "Then more."]


def test_a_stop_after_an_abbreviation_may_end_a_sentence():
    assert texts("It leaves at 5 p.m. The next one waits. It was I. Me too.") == [
        "It leaves at 5 p.m.",
        "The next one waits.",
        "It was I.",
        "Me too.",
    ]


def test_closing_quotes_belong_to_their_sentence():
    text = 'He said "yes." She said (no!) And \u201cso?\u201d it went'
    pieces = [(WORD_START + word, number, number + 0.5) for number, word in enumerate(text.split())]
    found = segments_of(Transcript(text, tokens(*pieces)), 20)
    assert [segment.text for segment in found] == [
        'He said "yes."',
        "She said (no!)",
        "And \u201cso?\u201d",
        "it went",
    ]


def test_a_long_pause_ends_a_segment_and_a_short_one_does_not():
    assert texts("well ~1.2 let me see ~0.8 now") == ["well", "let me see now"]
    assert PAUSE_S == 1.0


def test_an_endless_sentence_is_cut_at_its_longest_pauses():
    stretch = "la " * 100
    parts = texts(f"{stretch} ~0.5 {stretch} ~0.3 {stretch} ~0.9 {stretch} ~0.6 {stretch}")
    assert [part.count("la") for part in parts] == [100, 100, 100, 100, 100]


def test_an_endless_sentence_without_pauses_is_cut_all_the_same():
    found = segments("la " * 1000)
    assert all(MAX_SEGMENT_S / 2 <= segment.end_s - segment.start_s <= MAX_SEGMENT_S for segment in found[:-1])
    assert sum(len(segment.words) for segment in found) == 1000


def test_a_segment_has_the_times_ids_and_mean_probability_of_its_tokens():
    transcript = Transcript(
        "Yes. No", (Token(7, "\u2581Yes", 1, 1.5, -1), Token(8, ".", 2, 2, -2), Token(9, "\u2581No", 3, 3.5, -0.5))
    )
    yes, no = segments_of(transcript, 4)
    assert (yes.start_s, yes.end_s, yes.tokens, yes.avg_logprob) == (1, 1.5, (7, 8), -1.5)
    assert (no.start_s, no.end_s, no.tokens, no.avg_logprob) == (3, 3.5, (9,), -0.5)
    assert [word.text for word in yes.words] == ["Yes"]


def test_nothing_heard_has_no_words_and_no_segments():
    assert words_of(Transcript(""), 3) == segments_of(Transcript(""), 3) == ()


def test_a_text_of_nothing_but_marks_is_a_segment_without_words():
    transcript = Transcript("...", tokens((".", 1, 1), (".", 1, 1), (".", 2, 2)))
    assert words_of(transcript, 3) == ()
    (segment,) = segments_of(transcript, 3)
    assert (segment.text, segment.start_s, segment.tokens, segment.words) == ("...", 1, (0, 0, 0), ())


def test_a_transcript_without_tokens_still_has_its_words():
    assert [word.text for word in words_of(Transcript("made up"), 3)] == ["made", "up"]


@settings(max_examples=80)
@given(transcripts())
def test_every_word_is_there_once_and_in_order_with_times_in_order_and_within_the_clip(made):
    transcript, bare, clip_s = made
    found = words_of(transcript, clip_s)
    assert [word.text for word in found] == bare
    assert " ".join(word.written for word in found) == transcript.text
    assert tuple(token for word in found for token in word.tokens) == transcript.tokens
    check_times([(word.start_s, word.end_s) for word in found], clip_s)


@settings(max_examples=80)
@given(transcripts())
def test_a_word_is_at_least_a_frame_long_where_there_is_room(made):
    transcript, _, clip_s = made
    found = words_of(transcript, clip_s)
    limits_s = [*(word.start_s for word in found), clip_s][1:]
    for word, next_s in zip(found, limits_s, strict=True):
        assert word.end_s - word.start_s > 0.0799 or next_s - word.end_s < 0.001


@settings(max_examples=80)
@given(transcripts())
def test_segments_joined_are_the_text_and_none_is_too_long(made):
    transcript, _, clip_s = made
    found = segments_of(transcript, clip_s)
    assert " ".join(segment.text for segment in found) == transcript.text
    assert tuple(id for segment in found for id in segment.tokens) == tuple(token.id for token in transcript.tokens)
    assert tuple(word for segment in found for word in segment.words) == words_of(transcript, clip_s)
    check_times([(segment.start_s, segment.end_s) for segment in found], clip_s)
    for segment in found:
        assert len(segment.words) == 1 or segment.end_s - segment.start_s <= MAX_SEGMENT_S
        assert all(b.start_s - a.end_s <= PAUSE_S for a, b in pairwise(segment.words))
