"""The signs that a transcript may be wrong, and what is made of speech without words."""

import numpy as np
import pytest
from media import SAMPLE_RATE

from src.audio.samples import Samples
from src.audio.vad import Span
from src.text.transcript import Token, Transcript
from src.transcription.vad_fallback import (
    MARGINS_S,
    SCAN_BLOCK,
    RetryClip,
    has_gaps,
    insert_words,
    may_hide_quiet_speech,
    missed_speech,
    needs_vad_check,
    peak_exceeds,
    retry_clips,
    speech_extent,
)

RNG = np.random.default_rng(0)


def transcript(text: str, logprob: float = -0.01) -> Transcript:
    return Transcript(text, tuple(Token(0, f"\u2581{word}", 1, 1.5, logprob) for word in text.split()))


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def test_clear_speech_in_silence_or_in_a_room_hides_no_quiet_speech():
    told = Transcript("", tuple(Token(0, "\u2581a", start / 10, start / 10 + 0.1, 0) for start in range(10, 30)))
    time_s = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    speech = np.where((time_s > 1) & (time_s < 3), np.sin(1000 * time_s) * np.sin(20 * time_s), 0)
    faint = np.where(time_s > 4, np.sin(1000 * time_s) * np.sin(20 * time_s), 0) * 0.003
    room = RNG.normal(scale=0.001, size=len(time_s))
    assert has_gaps(told, speech.astype(np.float32))
    assert not may_hide_quiet_speech(told, speech.astype(np.float32))
    assert not may_hide_quiet_speech(told, (speech + room).astype(np.float32))
    assert may_hide_quiet_speech(told, (speech + faint).astype(np.float32))
    assert not has_gaps(told, speech[: 3 * SAMPLE_RATE].astype(np.float32))


def said(*words: tuple[str, float]) -> Transcript:
    """Words at their times, each of which takes 0.3 s."""
    return Transcript(
        " ".join(word for word, _ in words),
        tuple(Token(0, f"\u2581{word}", start_s, start_s + 0.3, -0.01) for word, start_s in words),
    )


def test_speech_lacks_words_where_none_are_near_or_a_second_of_it_has_none():
    told = said(("one", 0.2), ("two", 0.6))
    assert list(missed_speech(told, [Span(0.1, 1.0)])) == []
    assert list(missed_speech(told, [Span(0.1, 1.0), Span(2, 2.1)])) == []
    assert list(missed_speech(told, [Span(0.1, 1.0), Span(2, 2.4), Span(3, 4), Span(6, 7)])) == [
        Span(2, 4),
        Span(6, 7),
    ]
    assert list(missed_speech(told, [Span(0.1, 2.5)])) == [Span(0.1, 2.5)]
    assert list(missed_speech(Transcript(""), [Span(1, 2), Span(5, 6)])) == [Span(1, 6)]


def test_what_is_found_takes_its_place_and_words_beside_all_speech_go():
    speech = [Span(1, 2), Span(5, 7)]
    before = said(("Loud.", 1.2), ("Oh.", 3.5), ("well", 5.1))
    found = said(("quiet", 5.2), ("words", 6.0))
    assert insert_words(before, found, Span(5, 7), speech) == said(("Loud.", 1.2), ("quiet", 5.2), ("words", 6.0))
    assert insert_words(before, said(("once", 5.2)), Span(5, 7), speech) == before, "no more words than it had"
    assert insert_words(Transcript(""), found, Span(5, 7), speech) == found


def test_a_margin_has_nothing_much_louder_than_the_speech():
    samples = np.full(4 * SAMPLE_RATE, 0.01, np.float32)
    samples[SAMPLE_RATE] = samples[3 * SAMPLE_RATE] = 1
    for retry in retry_clips(samples, Span(1.2, 2.9)):
        assert np.abs(retry.samples).max() < 0.02
        assert np.count_nonzero(retry.samples) >= 1.7 * SAMPLE_RATE
    assert samples[SAMPLE_RATE] == 1, "the clip itself stays as it is"


@pytest.mark.parametrize(
    ("text", "logprob", "level", "asked"),
    [
        ("The black bicycle is under the tree.", -0.01, 0.5, False),
        ("The black bicycle is under the tree.", -0.3, 0.5, True),
        ("The black bicycle is under the tree.", -0.01, 0.01, True),
        ("Yes.", -0.01, 0.5, True),
        ("", 0, 0.5, True),
        ("", 0, 0.001, True),
        ("", 0, 0.0, False),
        ("", 0, 3e-5, False),
    ],
)
def test_only_a_transcript_that_may_be_wrong_is_checked(text, logprob, level, asked):
    assert needs_vad_check(transcript(text, logprob), np.full(16_000, level, np.float32)) is asked


def test_no_speech_is_what_is_too_short_for_a_word():
    assert speech_extent([]) is None
    assert speech_extent([Span(1, 1.1), Span(2, 2.06)]) is None
    assert speech_extent([Span(1, 1.1), Span(2, 2.3), Span(4, 5), Span(6, 6.1)]) == Span(2, 5)


def test_each_retry_is_the_speech_between_margins_and_says_where_it_began():
    samples = RNG.normal(size=5 * SAMPLE_RATE).astype(np.float32)
    versions = list(retry_clips(samples, Span(0.3, 4.5)))
    assert [version.offset_s for version in versions] == pytest.approx([0.3 - margin_s for margin_s in MARGINS_S])
    for version, margin_s in zip(versions, MARGINS_S, strict=True):
        assert len(version.samples) == pytest.approx((4.2 + 2 * margin_s) * SAMPLE_RATE, abs=2)
        speech = version.samples[round(margin_s * SAMPLE_RATE) :][: round(4.2 * SAMPLE_RATE)]
        np.testing.assert_array_equal(speech, samples[round(0.3 * SAMPLE_RATE) :][: len(speech)])
    assert not versions[-1].samples[: round(0.7 * SAMPLE_RATE)].any()


def test_times_of_a_retry_become_those_of_the_clip_and_stay_within_it():
    retry = RetryClip(silence(3), -0.5, 2.0)
    tokens = tuple(Token(0, "\u2581a", start_s, start_s + 0.5, -0.1) for start_s in (0.2, 1, 2.4))
    restored = retry.in_clip_time(Transcript("a a a", tokens))
    assert restored.text == "a a a"
    times = [(token.start_s, token.end_s) for token in restored.tokens]
    assert times == [(0, pytest.approx(0.2)), (0.5, 1), (pytest.approx(1.9), 2)]


@pytest.mark.parametrize("at", [0, SCAN_BLOCK - 1, SCAN_BLOCK, 3 * SCAN_BLOCK + 4])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_loud_sample_is_found_wherever_it_is(at, sign):
    samples = np.zeros(3 * SCAN_BLOCK + 5, np.float32)
    assert not peak_exceeds(samples, 0.0)
    samples[at] = sign * 0.5
    assert peak_exceeds(samples, 0.0)
    assert peak_exceeds(samples, 0.49)
    assert not peak_exceeds(samples, 0.5)


def test_no_samples_are_not_loud():
    assert not peak_exceeds(np.empty(0, np.float32), 0.0)
