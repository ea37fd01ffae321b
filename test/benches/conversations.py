"""Conversations for the benchmarks of live sessions: bundled clips of many voices, with pauses between them."""

import random
from functools import cache

import client
import numpy as np
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE

PAUSES_S = 0.6, 1.2
"""The shortest and the longest pause: longer than the 0.5 s after which `server_vad` ends a turn by default."""


def conversation(number: int, seconds: float) -> NDArray[np.float32]:
    """Return 16 kHz mono samples of `seconds` with one clip of speech after the other, each followed by a pause.

    Conversations of different numbers have the clips in different orders; the same number gives the same again. A clip
    that does not fit with its pause is left out. What remains at the end is silence.
    """
    chance = random.Random(number)
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    start, placed = 0, True
    while placed:
        placed = False
        for clip in chance.sample(_clips(), len(_clips())):
            end = start + len(clip) + round(chance.uniform(*PAUSES_S) * SAMPLE_RATE)
            if end <= len(audio):
                audio[start : start + len(clip)] = clip
                start, placed = end, True
    return audio


@cache
def _clips() -> list[NDArray[np.float32]]:
    """Return the short bundled clips in which somebody speaks."""
    silent = ("noise", "silence")
    return [client.samples_of(path) for path in client.short_clips() if not path.name.startswith(silent)]
