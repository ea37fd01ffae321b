"""Second thoughts: speech beside silence gets a text, noise gets none, and clear speech is not asked about twice."""

from collections.abc import Callable

import numpy as np
import pytest
from long_audio import sentences
from media import SAMPLE_RATE, clip

from src.audio.samples import Samples
from src.audio.vad import Span, SpeechDetector, run_detection
from src.engine.nemo_model import NemoModel
from src.text.transcript import Token, Transcript
from src.transcription.vad_fallback import (
    MARGINS_S,
    MIN_SPEECH_S,
    SCAN_SAMPLES,
    RetryClip,
    has_gaps,
    insert_words,
    louder_than,
    may_hide_quiet_speech,
    missed_speech,
    needs_vad_check,
    retry_clips,
    speech_extent,
)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def hear(tiny: NemoModel) -> Callable[[Samples], Transcript]:
    """The model on a single clip."""
    return lambda samples: tiny.transcribe(tiny.collate([samples]))[0]


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def transcript(text: str, logprob: float = -0.01) -> Transcript:
    return Transcript(text, tuple(Token(0, f"\u2581{word}", 1, 1.5, logprob) for word in text.split()))


def reconsidered(hear: Callable[[Samples], Transcript], detector: SpeechDetector, samples: Samples) -> Transcript:
    """What a clip's transcript is in the end."""
    found = hear(samples)
    is_doubtful = needs_vad_check(found, samples)
    if not is_doubtful and not (has_gaps(found, samples) and may_hide_quiet_speech(found, samples)):
        return found
    if is_doubtful and found.text and not has_gaps(found, samples):
        return found if run_detection(detector.has_speech(samples, MIN_SPEECH_S)) else Transcript("")
    spans = run_detection(detector.spans(samples))
    if speech_extent(spans) is None:
        return Transcript("") if is_doubtful else found
    for stretch in list(missed_speech(found, spans)):
        for retry in retry_clips(samples, stretch):
            was, found = found, insert_words(found, retry.in_clip_time(hear(retry.samples)), stretch, spans)
            if was.text or found.text:
                break
    return found


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def noises(seconds: float) -> dict[str, Samples]:
    """Sounds without speech of which the tiny model makes words, and some of which it makes none."""
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    white = RNG.normal(size=len(time_s))
    low, high = np.sin(2 * np.pi * 697 * time_s), np.sin(2 * np.pi * 1209 * time_s)
    steps = 2 ** (np.floor(time_s * 3) % 5 / 6)
    chord = sum(np.sin(2 * np.pi * pitch * time_s * steps) for pitch in (220, 330, 440, 660))
    sounds = {
        "white": white,
        "hum": sum(np.sin(2 * np.pi * 50 * harmonic * time_s) / harmonic for harmonic in range(1, 8)),
        "clicks": (RNG.random(len(time_s)) < 4 / SAMPLE_RATE) * 5.0,
        "bursts": white * (RNG.random(len(time_s) // 1600 + 1).repeat(1600)[: len(time_s)] < 0.2),
        "telephone keys": (low + high) * (time_s % 1 < 0.3),
        "music": chord * np.exp(-2 * (time_s * 3 % 1)),
        "siren": np.sin(2 * np.pi * (100 * time_s + 150 * time_s**2)),
    }
    return {name: (sound / max(1e-9, np.std(sound))).astype(np.float32) for name, sound in sounds.items()}


def test_noise_has_no_text_of_whatever_kind_and_level(hear, detector):
    made_up = 0
    for seconds in (0.5, 2, 4):
        for name, sound in noises(seconds).items():
            for level in (0.3, 0.03, 0.001):
                samples = sound * np.float32(level)
                made_up += bool(hear(samples).text)
                assert reconsidered(hear, detector, samples).text == "", (name, seconds, level)
    assert made_up > 5, "without second thoughts some of it has a text"


def test_speech_with_silence_around_it_keeps_its_text(hear, detector):
    for name in sentences()[::6]:
        speech = clip(name)
        for before_s, after_s in ((0, 0), (3, 0), (0.5, 3)):
            samples = np.concatenate([silence(before_s), speech, silence(after_s)])
            samples += RNG.normal(scale=1e-3, size=len(samples)).astype(np.float32)
            assert reconsidered(hear, detector, samples) == hear(samples) != Transcript("")


def test_a_word_that_silence_before_it_hides_gets_the_text_that_it_has_alone(hear, detector):
    word = clip("flite-kal16-1")[round(2.54 * SAMPLE_RATE) : round(2.95 * SAMPLE_RATE)]
    samples = np.concatenate([silence(3), word])
    assert hear(samples).text == ""
    found = reconsidered(hear, detector, samples)
    assert found.text == hear(word).text != ""
    assert 2.9 < found.tokens[0].start_s < found.tokens[-1].end_s <= len(samples) / SAMPLE_RATE


def attenuated(samples: Samples, db: float) -> Samples:
    """Samples whose largest is so far below full scale."""
    return (samples / np.abs(samples).max() * 10 ** (-db / 20)).astype(np.float32)


def likeness(wanted: list[str], heard: list[str]) -> float:
    """The share of words that were heard, whatever their case and marks."""
    plain = [word.strip(".").lower() for word in heard]
    return sum(word.strip(".").lower() in plain for word in wanted) / len(wanted)


LOUD = {
    "noise": RNG.normal(scale=0.3, size=8000).astype(np.float32),
    "noise beyond all measure": RNG.normal(scale=9e5, size=8000).astype(np.float32),
    "a clap": (0.9 * RNG.choice([-1, 1], 1600) * np.geomspace(1, 0.01, 1600)).astype(np.float32),
    "a damaged sample": np.array([1000], np.float32),
    "somebody loud": clip("flite-slt-1"),
}


@pytest.mark.parametrize("db", [40, 55])
@pytest.mark.parametrize("loud", LOUD)
def test_quiet_speech_beside_something_loud_keeps_its_words(hear, detector, loud, db):
    for name in ("fsdd-theo-2", "piper-joe-1", "flite-rms-1"):
        quiet = attenuated(clip(name), db)
        words = hear(quiet).text.split()
        for gap_s in (0.3, 1.0):
            found = reconsidered(hear, detector, np.concatenate([LOUD[loud], silence(gap_s), quiet]))
            assert likeness(words, found.text.split()) >= 0.6, (name, gap_s, found.text)
            starts_s = [token.start_s for token in found.tokens]
            assert starts_s == sorted(starts_s)
            if loud == "somebody loud":
                assert found.text.startswith(hear(LOUD[loud]).text.rstrip(".")), "these words stay"


def test_noise_after_speech_has_no_more_words_than_the_model_makes_of_it(hear, detector):
    speech = clip("piper-joe-1")
    for db in (40, 55):
        for name, noise in noises(3).items():
            samples = np.concatenate([speech, silence(0.5), attenuated(noise, db)])
            assert reconsidered(hear, detector, samples) == hear(samples), (name, db)


def test_clear_speech_in_silence_or_in_a_room_is_not_uneven():
    told = Transcript("", tuple(Token(0, "\u2581a", start / 10, start / 10 + 0.1, 0) for start in range(10, 30)))
    time_s = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    spoken = np.where((time_s > 1) & (time_s < 3), np.sin(1000 * time_s) * np.sin(20 * time_s), 0)
    faint = np.where(time_s > 4, np.sin(1000 * time_s) * np.sin(20 * time_s), 0) * 0.003
    room = RNG.normal(scale=0.001, size=len(time_s))
    assert has_gaps(told, spoken.astype(np.float32))
    assert not may_hide_quiet_speech(told, spoken.astype(np.float32))
    assert not may_hide_quiet_speech(told, (spoken + room).astype(np.float32))
    assert may_hide_quiet_speech(told, (spoken + faint).astype(np.float32))
    assert not has_gaps(told, spoken[: 3 * SAMPLE_RATE].astype(np.float32))


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
def test_only_doubtful_transcripts_are_looked_into(text, logprob, level, asked):
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


@pytest.mark.parametrize("at", [0, SCAN_SAMPLES - 1, SCAN_SAMPLES, 3 * SCAN_SAMPLES + 4])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_loud_sample_is_found_wherever_it_is(at, sign):
    samples = np.zeros(3 * SCAN_SAMPLES + 5, np.float32)
    assert not louder_than(0.0, samples)
    samples[at] = sign * 0.5
    assert louder_than(0.0, samples)
    assert louder_than(0.49, samples)
    assert not louder_than(0.5, samples)


def test_no_samples_are_not_loud():
    assert not louder_than(0.0, np.empty(0, np.float32))
