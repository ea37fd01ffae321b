"""Silero's network gives the probabilities of Silero's own code."""

import warnings

import numpy as np
import pytest
import torch
from media import clip

from src.audio.vad import SpeechDetector


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def silero(samples: np.ndarray) -> np.ndarray:
    """What Silero's own code says, frame by frame."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, on the format of the wheel's model
        import silero_vad

        network = silero_vad.load_silero_vad()
        torch.set_num_threads(1)
        padded = np.pad(samples, (0, -len(samples) % 512))
        with torch.inference_mode():
            probabilities = [network(torch.from_numpy(frame), 16_000).item() for frame in padded.reshape(-1, 512)]
    torch.set_num_threads(threads)
    return np.array(probabilities)


@pytest.mark.parametrize("name", ["flite-slt-1", "fsdd-jackson-1", "noise-pink-4s"])
def test_the_probabilities_are_sileros_own(detector, name):
    samples = clip(name)
    probabilities = detector.probabilities(samples)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, silero(samples), atol=1e-4)
