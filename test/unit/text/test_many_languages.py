"""Words, segments, subtitles and hot words of 25 languages, on the tokens of a tokenizer that was trained on them."""

import unicodedata
from types import SimpleNamespace

import pytest
from made_transcripts import check_times
from many_languages import LANGUAGES, PIECE_S, sentences, tokenizer, tokens_of

from src.engine.decoder.keyword_lists import KeywordLists
from src.text.growing_text import GrowingText
from src.text.keywords import parse_keywords
from src.text.segment_stream import SegmentStream
from src.text.segments import segments_of
from src.text.spelling import readable_length
from src.text.subtitles import MAX_LINE, cues_of
from src.text.transcript import Transcript, text_of
from src.text.words import words_of
from src.wire.logprobs import logprobs_of


def written(language: str) -> list[str]:
    """The sentences as a model's text has them: NeMo lets no space before a question mark, as French has it."""
    return [each.replace(" ?", "?") for each in sentences(language)]


@pytest.fixture(params=LANGUAGES)
def speech(request) -> tuple[Transcript, list[str], float]:
    """All sentences of a language in one go, without pauses: the transcript, the sentences, and the length."""
    expected = written(request.param)
    tokens = tokens_of(" ".join(sentences(request.param)))
    return Transcript(text_of(tokens), tokens), expected, len(tokens) * PIECE_S


def test_the_tokens_spell_the_text_and_each_sentence_is_a_segment(speech):
    transcript, expected, length_s = speech
    assert transcript.text == " ".join(expected)
    assert [segment.text for segment in segments_of(transcript, length_s)] == expected


def test_each_word_has_its_tokens_and_a_time_and_no_marks_around_it(speech):
    transcript, _, length_s = speech
    words = words_of(transcript, length_s)
    assert " ".join(word.written for word in words) == transcript.text
    assert all(text_of(word.tokens) == word.written for word in words)
    check_times([(word.start_s, word.end_s) for word in words], length_s)
    for word in words:
        assert word.text[0].isalnum()
        assert word.text[-1].isalnum() or word.text[-1] in "'\u2019"
        assert word.written.lstrip("\u00bf\u00a1").startswith(word.text)


def test_subtitles_hold_all_of_it_in_short_lines(speech):
    transcript, _, length_s = speech
    cues = cues_of(segments_of(transcript, length_s), length_s)
    lines = [line for cue in cues for line in cue.lines]
    assert " ".join(lines) == transcript.text
    assert all(readable_length(line) <= MAX_LINE for line in lines)


def test_a_stream_gives_out_the_same(speech):
    transcript, expected, length_s = speech
    words = words_of(transcript, length_s)
    stream, growing, found = SegmentStream(), GrowingText(), []
    for start in range(0, len(words), 20):
        part = words[start : start + 20]
        tokens = [token for word in part for token in word.tokens]
        text = " ".join(word.written for word in part)
        found += stream.add(f" {text}" if start else text, tokens)
        growing.add(tokens)
    found += stream.finish(length_s)
    assert growing.text == transcript.text
    assert [segment.text for segment in found] == expected
    assert "".join(each["token"] for each in logprobs_of(transcript.tokens)).replace(" ?", "?") == f" {growing.text}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_hot_word_has_the_tokens_of_the_word_however_its_accents_are_encoded(language):
    word = max((each.strip(".,?!;") for sentence in sentences(language) for each in sentence.split()), key=accents)
    spelled = tokenizer().encode(word)
    for form in ("NFC", "NFD"):
        (keyword,) = parse_keywords([unicodedata.normalize(form, word)], None)
        assert spelled in list(spellings(keyword))


def accents(word: str) -> tuple[int, int]:
    return len(unicodedata.normalize("NFD", word)) - len(word), len(word)


def spellings(keyword: str):
    lists = KeywordLists(SimpleNamespace(tokenizer=tokenizer()), tokenizer().vocab_size(), 1)
    return lists._spellings(frozenset([keyword]))
