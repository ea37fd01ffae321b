"""Words and their times from tokens."""

import pytest
from hypothesis import given, settings
from made_transcripts import LOGPROB, PIECE_S, check_times, length_s, spoken, tokens, transcripts

from src.text.transcript import UNKNOWN, WORD_START, Transcript
from src.text.words import Word, words_of


def words(script: str) -> tuple[Word, ...]:
    """The words of a script, whose clip ends with the last of them."""
    transcript = spoken(script)
    return words_of(transcript, length_s(transcript))


def times(*pieces: tuple[str, float, float], clip_s: float) -> list[tuple[float, float]]:
    """When each of the words that `pieces` spell is heard."""
    text = "".join(piece for piece, _, _ in pieces).replace(WORD_START, " ").strip()
    return [(word.start_s, word.end_s) for word in words_of(Transcript(text, tokens(*pieces)), clip_s)]


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
    around = ((WORD_START + "The", 0, 0.2), (WORD_START, 1, 1), *pieces, (WORD_START + "much", 3, 3.2))
    found = words_of(Transcript("The \u20ac isn't much", tokens(*around)), 4)
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


def test_marks_that_stand_alone_belong_to_the_word_that_they_open_or_close():
    text = "Il dit « Bonjour » et ¿ qué ? fin «"
    pieces = [(WORD_START + word, number, number + 0.9) for number, word in enumerate(text.split())]
    found = words_of(Transcript(text, tokens(*pieces)), 20)
    assert [word.written for word in found] == ["Il", "dit", "« Bonjour »", "et", "¿ qué ?", "fin «"]
    assert [word.text for word in found] == ["Il", "dit", "Bonjour", "et", "qué", "fin"]
    assert [word.start_s for word in found] == [0, 1, 3, 5, 7, 9]
    assert [len(word.tokens) for word in found] == [1, 1, 3, 1, 3, 2]
