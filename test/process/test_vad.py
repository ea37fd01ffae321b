"""The speech detector on every bundled clip, by itself and among many."""

import numpy as np
import pytest
from media import clip

from src.audio.microbatch import DetectionQueue
from src.audio.vad import SpeechDetector, run_detection


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def test_every_bundled_clip_with_words_has_speech_and_no_other_has(detector, transcripts):
    has_speech = {name: bool(run_detection(detector.spans(clip(name.removesuffix(".flac"))))) for name in transcripts}
    assert has_speech == {name: bool(text) for name, text in transcripts.items()}


def sounds(transcripts) -> dict[str, np.ndarray]:
    """Every bundled clip whole, in part, quietly, after silence and beside itself; and what is no speech."""
    rng, time_s = np.random.default_rng(0), np.arange(5 * 16_000) / 16_000
    found = {}
    for name in transcripts:
        samples = clip(name.removesuffix(".flac"))[: 12 * 16_000]
        found |= {name: samples, f"{name} short": samples[: len(samples) // 5], f"{name} quiet": samples * 0.002}
        found |= {f"{name} late": np.concatenate([np.zeros(6 * 16_000, np.float32), samples])}
        found |= {f"{name} loud, quiet": np.concatenate([clip("noise-white-3s"), samples * 0.003])}
    for seconds in (0.0, 0.05, 0.2, 5.0):
        noise = rng.normal(scale=0.1, size=round(seconds * 16_000))
        found |= {f"noise {seconds}": noise.astype(np.float32), f"silence {seconds}": np.zeros(len(noise), np.float32)}
    for pitch in (50, 220, 697, 3000):
        found[f"tone {pitch}"] = np.sin(2 * np.pi * pitch * time_s).astype(np.float32)
    return found


def test_has_speech_agrees_with_the_spans_by_itself_and_in_batches(detector, transcripts):
    clips = sounds(transcripts)
    spans = {name: run_detection(detector.spans(samples)) for name, samples in clips.items()}
    speaks = {name: any(span.end_s - span.start_s >= 0.15 for span in found) for name, found in spans.items()}
    assert 10 < sum(speaks.values()) < len(speaks) - 10
    assert {name: run_detection(detector.has_speech(samples, 0.15)) for name, samples in clips.items()} == speaks
    queue = DetectionQueue(detector)
    verdicts = {name: queue.submit(detector.has_speech(samples, 0.15)) for name, samples in clips.items()}
    found = {name: queue.submit(detector.spans(samples)) for name, samples in clips.items()}
    while queue:
        queue.run_next()
    assert {name: answer.result() for name, answer in verdicts.items()} == speaks
    assert {name: answer.result() for name, answer in found.items()} == spans


@pytest.mark.parametrize("most", [100, 1600, 40_000])
def test_streams_fed_together_have_the_probabilities_of_each_by_itself(detector, transcripts, most):
    rng = np.random.default_rng(most)
    clips = [samples[:32_000] for samples in sounds(transcripts).values()][::12]
    streams, rests = [detector.new_stream() for _ in clips], list(clips)
    parts: list[list[np.ndarray]] = [[] for _ in clips]
    while any(map(len, rests)):
        sizes = rng.integers(0, most, len(rests), endpoint=True)
        pieces = [rest[:size] for rest, size in zip(rests, sizes, strict=True)]
        rests = [rest[size:] for rest, size in zip(rests, sizes, strict=True)]
        for part, found in zip(parts, detector.feed_many(streams, pieces), strict=True):
            part.append(found)
    for samples, stream, part in zip(clips, streams, parts, strict=True):
        found = np.concatenate([*part, stream.finish()])
        np.testing.assert_allclose(found, detector.probabilities(samples), atol=3e-5)
