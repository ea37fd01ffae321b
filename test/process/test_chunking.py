"""Hours of audio pass through the chunks in little memory."""

import itertools
import tracemalloc

import numpy as np
import pytest
from long_audio import GAPS_S, joined, sentences
from media import SAMPLE_RATE

from src.audio.blocks import split_blocks
from src.audio.chunking import split
from src.audio.vad import SpeechDetector


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    detector = SpeechDetector()
    detector.probabilities(np.zeros(SAMPLE_RATE, np.float32))  # loads torch, whose modules take 60 MB
    return detector


def test_three_hours_pass_through_little_memory(detector):
    part, _ = joined(sentences() * 2, itertools.cycle(GAPS_S))
    repeats = 3 * 3600 * SAMPLE_RATE // len(part) + 1
    stream = itertools.chain.from_iterable(split_blocks(part) for _ in range(repeats))
    chunks_s, count = 0.0, 0
    tracemalloc.start()
    try:
        for chunk in split(stream, detector, chunk_seconds=120):
            chunks_s += chunk.to_s - chunk.from_s
            count += 1
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert chunk.end_s > 3 * 3600
    assert chunks_s > 0.95 * chunk.end_s
    assert count < 3 * 3600 / 60
    assert peak_bytes < 6 * 120 * SAMPLE_RATE * 4, "six chunks"
