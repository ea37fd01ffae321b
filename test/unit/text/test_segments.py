"""Segments: sentences, and the words between two pauses."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from made_transcripts import check_times, length_s, spoken, tokens, transcripts

from src.text.segments import MAX_SEGMENT_S, PAUSE_S, Segment, ends_sentence, segments_of
from src.text.transcript import WORD_START, Token, Transcript
from src.text.words import words_of


def segments(script: str) -> tuple[Segment, ...]:
    transcript = spoken(script)
    return segments_of(transcript, length_s(transcript))


def texts(script: str) -> list[str]:
    return [segment.text for segment in segments(script)]


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
    assert words_of(Transcript(""), 3) == ()
    assert segments_of(Transcript(""), 3) == ()


def test_a_text_of_nothing_but_marks_is_a_segment_without_words():
    transcript = Transcript("...", tokens((".", 1, 1), (".", 1, 1), (".", 2, 2)))
    assert words_of(transcript, 3) == ()
    (segment,) = segments_of(transcript, 3)
    assert (segment.text, segment.start_s, segment.tokens, segment.words) == ("...", 1, (0, 0, 0), ())


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


@pytest.mark.parametrize(
    ("text", "is_end"),
    [
        ("It rains.", True),
        ("Does it?", True),
        ('He said, "Stop!"', True),
        ("Wait\u2026", True),
        ("It rains", False),
        ("It rains,", False),
        ("I met Dr.", False),
        ("I met J.", False),
        ("It is I.", True),
        ("Das war im 20.", False),
        ("Τι είναι;", True),
        ("It rains;", False),
        ("", False),
        ("  ", False),
    ],
)
def test_a_text_may_end_with_a_sentence(text, is_end):
    assert ends_sentence(text) == is_end


@pytest.mark.parametrize(
    "text",
    [
        "Τι ώρα είναι; | Είναι αργά· πάμε. | Σίγουρα\u037e | Ναι!",
        "¿Vienes? | ¡Claro que sí! | El Sr. Gómez ya está. | Hola, ¿qué tal?",
        "Il a dit « Bonjour ». | Puis rien… | Elle répond : « Non ! » | Et voilà.",
        "„Kommst du?“ | Er fragte am 3. Mai, d. h. früh. | Im 20. Jahrhundert nicht. | »Nie!« | Also gut.",
        "Bydlí na ul. Dlouhá č. 5. | Přišel 1. května, tzv. na jaře. | „Ahoj!“ | Konec.",
        "Он живёт на ул. Мира. | Это было в 2024 г. весной. | «Да!» | Хорошо.",
        "Ha detto che va bene un po’. | L’ha visto la Sig.ra Rossi. | ‹Sì.› | Ecco.",
        "Det är t.ex. Anna. | Hon sa ’hej.’ | Sedan gick hon.",
        "One; two; three. | It is 5; no more.",
    ],
)
def test_sentences_end_where_they_do_in_other_languages(text):
    spoken_text = text.replace(" | ", " ")
    pieces = [(WORD_START + word, number / 4, number / 4 + 0.2) for number, word in enumerate(spoken_text.split())]
    found = segments_of(Transcript(spoken_text, tokens(*pieces)), len(pieces))
    assert [segment.text for segment in found] == text.split(" | ")
