"""Long recordings made of the bundled clips, with known texts and times."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from media import CLIPS, SAMPLE_RATE, clip
from numpy.typing import NDArray

from src.audio.vad import SpeechDetector, run_detection

GAPS_S = [0.3, 1.5, 0.5, 1.0, 0.7]
"""Pauses between clips, one after the other."""

EDGE_S = 0.1
"""About how much of the speech the detector misses at each end."""

MISRECOGNIZED = {
    "fsdd-nicolas-1", "fsdd-nicolas-3", "pico-en-gb-2", "rhvoice-alan-1", "rhvoice-bdl-3", "rhvoice-bdl-4"
}  # fmt: skip
"""Clips that the tiny model gets wrong even by themselves."""


@dataclass(frozen=True)
class Placement:
    """The place of a clip in a recording, in seconds."""

    name: str
    start_s: float
    end_s: float


def sentences() -> list[str]:
    """Return the names of the short clips that the tiny model gets right, in an order that mixes the voices."""
    names = {path.stem for path in CLIPS.glob("*-[0-9].flac")} - MISRECOGNIZED
    return sorted(names, key=lambda name: (name[::-1], name))


def joined(
    names: Iterable[str],
    gaps_s: Iterable[float],
    *,
    load: Callable[[str], NDArray[np.float32]] = clip,
    noise: float = 0.0,
) -> tuple[NDArray[np.float32], list[Placement]]:
    """Return clips joined to one recording at 16 kHz, each after its gap in seconds, and the place of each.

    `load` returns the samples of a clip; `noise` is the level of white noise that is added.
    """
    parts: list[NDArray[np.float32]] = []
    placements = []
    length = 0
    for name, gap_s in zip(names, gaps_s, strict=False):
        samples = load(name)
        start = length + round(gap_s * SAMPLE_RATE)
        parts += [np.zeros(start - length, np.float32), samples]
        length = start + len(samples)
        placements.append(Placement(name, start / SAMPLE_RATE, length / SAMPLE_RATE))
    whole = np.concatenate(parts)
    if noise:
        whole += np.random.default_rng(0).normal(scale=noise, size=len(whole)).astype(np.float32)
    return whole, placements


def without_pauses(detector: SpeechDetector) -> Callable[[str], NDArray[np.float32]]:
    """Return a function that loads a clip without the silence at its ends, so that the next follows without a pause."""

    def load(name: str) -> NDArray[np.float32]:
        samples = clip(name)
        spans = run_detection(detector.spans(samples))
        start_s, end_s = max(0.0, spans[0].start_s - EDGE_S), spans[-1].end_s + EDGE_S
        return samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]

    return load
