"""The VAD fallback with the bundled model: speech beside silence gets a text, noise gets none."""

from collections.abc import Callable

import numpy as np
import pytest
from long_audio import sentences
from media import SAMPLE_RATE, clip

from src.audio.samples import Samples
from src.audio.vad import SpeechDetector, run_detection
from src.engine.nemo_model import NemoModel
from src.text.transcript import Transcript
from src.transcription.vad_fallback import (
    MIN_SPEECH_S,
    has_gaps,
    insert_words,
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
