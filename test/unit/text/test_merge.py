"""Chunks' transcripts as one: every word once, in order, at its time in the recording, as early as it is certain."""

import itertools
from dataclasses import replace

import numpy as np
from made_transcripts import merge, starts
from media import SAMPLE_RATE

from src.audio.chunking import Chunk
from src.text.merge import Merger
from src.text.transcript import Token, Transcript


def chunk(start_s: float, end_s: float, from_s: float | None = None, to_s: float | None = None) -> Chunk:
    """A stretch of a recording; the limits of what counts are its edges unless given."""
    samples = np.zeros(round((end_s - start_s) * SAMPLE_RATE), np.float32)
    return Chunk(samples, start_s, start_s if from_s is None else from_s, end_s if to_s is None else to_s)


def heard(text: str, *times_s: float) -> Transcript:
    """A transcript whose words, of one token each, begin at these times of the chunk and take 0.3 s."""
    words = text.split()
    tokens = (Token(0, f"\u2581{word}", at_s, at_s + 0.3, -0.1) for word, at_s in zip(words, times_s, strict=True))
    return Transcript(text, tuple(tokens))


def overlapping(first: Transcript, second: Transcript) -> Transcript:
    """Merge two chunks, 0 to 12 s and 8 to 20 s, whose seam is at 10 s."""
    return merge([(chunk(0, 12, to_s=10), first), (chunk(8, 20, from_s=10), second)])


def test_a_single_chunk_keeps_its_transcript():
    transcript = Transcript("Hello,  world. -", heard("Hello world", 0.5, 1).tokens)
    assert merge([(chunk(0, 5), transcript)]) == transcript


def test_chunks_follow_one_another_with_a_space_between_and_times_of_the_recording():
    merged = merge([(chunk(0, 10), heard("One two.", 1, 2)), (chunk(14, 20), heard("Three.", 1.5))])
    assert merged.text == "One two. Three."
    assert starts(merged) == [1, 2, 15.5]


def test_a_silent_chunk_adds_neither_text_nor_space():
    pieces = [(chunk(0, 5), Transcript("")), (chunk(5, 9), heard("One", 1)), (chunk(9, 12), Transcript(""))]
    assert merge([*pieces, (chunk(12, 15), heard("two", 1))]).text == "One two"


def test_no_chunks_make_no_text():
    assert merge([]) == Transcript("")


def test_a_transcript_without_tokens_keeps_its_text():
    assert merge([(chunk(0, 5), Transcript("7")), (chunk(5, 9), Transcript("8"))]).text == "7 8"


def test_words_that_both_chunks_hear_are_there_once():
    merged = overlapping(heard("a b c d", 7, 9, 10, 11), heard("b c d e", 1.08, 2.08, 3, 6))
    assert merged.text == "a b c d e"
    assert starts(merged) == [7, 9, 10, 11, 14]


def test_what_each_chunk_makes_of_half_words_at_its_edge_is_dropped():
    merged = overlapping(heard("a b c d dom", 7, 9, 10, 11, 11.6), heard("ray b c d domino", 0.1, 1.08, 2.08, 3, 3.7))
    assert merged.text == "a b c d domino"


def test_a_word_on_the_seam_is_there_once_whichever_side_each_chunk_puts_it_on():
    for early, late in itertools.product((9.75, 9.85, 9.95), repeat=2):
        assert overlapping(heard("a seam", 7, early), heard("seam b", late - 8, 4)).text == "a seam b"


def test_a_word_said_twice_stays_twice():
    merged = overlapping(heard("nine nine nine", 9.6, 9.84, 10.08), heard("nine nine nine", 1.7, 1.94, 2.18))
    assert merged.text == "nine nine nine"


def test_where_the_two_agree_on_no_word_each_tells_its_own_side():
    merged = overlapping(heard("a b c", 8.5, 9.5, 10.5), heard("x y z", 0.5, 1.5, 2.5))
    assert merged.text == "a b z"


def test_words_only_one_of_the_two_hears_are_kept():
    assert overlapping(heard("a b c", 7, 9, 11), Transcript("")).text == "a b c"
    assert overlapping(Transcript(""), heard("x y z", 0.5, 1.5, 6)).text == "x y z"


def test_spelling_may_differ_in_case_and_punctuation_where_two_chunks_meet():
    assert overlapping(heard("we go. Home", 7, 9, 10), heard("Go, home now.", 1, 2, 5)).text == "we go. Home now."


def around_a_pause(first: Transcript, second: Transcript) -> Transcript:
    """Merge two chunks, 0 to 12 s and 8 to 20 s, with a pause around 10 s."""
    return merge([(replace(chunk(0, 12, to_s=10), shares_pause=True), first), (chunk(8, 20, from_s=10), second)])


def test_around_a_pause_each_chunk_tells_its_own_side():
    merged = around_a_pause(heard("a b c. Do", 7, 8.5, 9.3, 11.8), heard("bee sea. Don't go", 0.5, 1.3, 3.8, 4.5))
    assert merged.text == "a b c. Don't go"
    assert starts(merged) == [7, 8.5, 9.3, 11.8, 12.5]


def test_half_a_word_at_the_edge_before_a_pause_is_dropped():
    assert around_a_pause(heard("a domino.", 5, 7.6), heard("no. b c", 0.1, 3, 4)).text == "a domino. b c"


def test_a_pause_that_only_one_of_the_two_hears_is_none():
    merged = around_a_pause(heard("a b c", 8.5, 9.9, 11), heard("a b c d", 0.5, 1.9, 3, 6))
    assert merged.text == "a b c d"


def test_times_never_go_back_across_a_seam():
    late = Transcript("a", (Token(0, "\u2581a", 9.9, 10.0, -0.1),))
    merged = merge([(chunk(0, 10), late), (chunk(9.5, 20), heard("b c", 0, 1))])
    assert starts(merged) == sorted(starts(merged))
    assert all(token.end_s >= token.start_s for token in merged.tokens)


def test_words_of_many_pieces_stay_whole():
    pieces = ("\u2581Sep", "tem", "ber", ".")
    tokens = tuple(Token(0, piece, 9 + 0.2 * at, 9.2 + 0.2 * at, -0.1) for at, piece in enumerate(pieces))
    second = tuple(Token(0, piece, 1.05 + 0.2 * at, 1.25 + 0.2 * at, -0.1) for at, piece in enumerate(pieces))
    merged = overlapping(Transcript("September.", tokens), Transcript("September.", second))
    assert merged.text == "September."
    assert [token.piece for token in merged.tokens] == list(pieces)


def test_words_are_given_out_as_soon_as_no_later_chunk_can_change_them():
    merger = Merger()
    first = merger.add(chunk(0, 12, to_s=10), heard("a b c", 1, 7, 9))
    assert first.text == "a b"
    second = merger.add(chunk(8, 20, from_s=10), heard("c d", 1, 9))
    assert second.text == " c d"
    assert [token.piece for token in second.tokens] == ["\u2581c", "\u2581d"]
    assert merger.finish().text == ""


def test_what_waits_for_a_chunk_that_never_comes_is_given_out_at_the_end():
    merger = Merger()
    assert merger.add(chunk(0, 12, to_s=10), heard("a b", 1, 9)).text == "a"
    assert merger.finish().text == " b"
