"""Second thoughts: speech beside silence gets a text, noise gets none, and clear speech is not asked about twice."""

from collections.abc import Callable

import numpy as np
import pytest
from long_audio import sentences
from media import SAMPLE_RATE, clip

from src.asr.model import NemoModel
from src.asr.rescue import MARGINS_S, SCAN_SAMPLES, Retry, doubtful, louder_than, retries, speech_in
from src.asr.transcript import Token, Transcript
from src.audio.vad import Samples, Span, SpeechDetector

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
    if not doubtful(found, samples):
        return found
    speech = speech_in(detector.spans(samples))
    if speech is None:
        return Transcript("")
    if found.text:
        return found
    again = ((retry, hear(retry.samples)) for retry in retries(samples, speech))
    return next((retry.restored(heard) for retry, heard in again if heard.text), found)


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
    assert doubtful(transcript(text, logprob), np.full(16_000, level, np.float32)) is asked


def test_no_speech_is_what_is_too_short_for_a_word():
    assert speech_in([]) is None
    assert speech_in([Span(1, 1.1), Span(2, 2.06)]) is None
    assert speech_in([Span(1, 1.1), Span(2, 2.3), Span(4, 5), Span(6, 6.1)]) == Span(2, 5)


def test_each_retry_is_the_speech_between_margins_and_says_where_it_began():
    samples = RNG.normal(size=5 * SAMPLE_RATE).astype(np.float32)
    versions = list(retries(samples, Span(0.3, 4.5)))
    assert [version.offset_s for version in versions] == pytest.approx([0.3 - margin_s for margin_s in MARGINS_S])
    for version, margin_s in zip(versions, MARGINS_S, strict=True):
        assert len(version.samples) == pytest.approx((4.2 + 2 * margin_s) * SAMPLE_RATE, abs=2)
        speech = version.samples[round(margin_s * SAMPLE_RATE) :][: round(4.2 * SAMPLE_RATE)]
        np.testing.assert_array_equal(speech, samples[round(0.3 * SAMPLE_RATE) :][: len(speech)])
    assert not versions[-1].samples[: round(0.7 * SAMPLE_RATE)].any()


def test_times_of_a_retry_become_those_of_the_clip_and_stay_within_it():
    retry = Retry(silence(3), -0.5, 2.0)
    tokens = tuple(Token(0, "\u2581a", start_s, start_s + 0.5, -0.1) for start_s in (0.2, 1, 2.4))
    restored = retry.restored(Transcript("a a a", tokens))
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
