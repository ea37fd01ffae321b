"""The loudness that the speech detector likes, brought about frame by frame, by what is about it.

The detector misses speech whose peaks are below 0.003, and hears it at any level above. So a gain need not be exact.
But it must not follow what is no sound at all, such as a damaged sample, nor remember a loud moment for long.

A frame's loudness is that of most of it: a click within it does not count. The level is the larger of two: the loudest
of the last few frames, forgotten at once, and what was reached in several of the last frames, forgotten slowly. So what
passes within 0.16 s, a click, a clap, a damaged frame of MP3, takes the detector's hearing for just as long.

How audio is cut into calls makes no difference.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES

Loudness = NDArray[np.float32]

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE

TARGET_PEAK = 0.5
"""The largest samples of speech are brought to this. No noise that was tried (white, pink, brown, hum, clicks, tones)
passes for speech for being loud."""
MIN_LEVEL = 1e-3
"""Audio whose largest samples are fainter is not raised as far: 16-bit audio has 5 bits left there."""
CREST_FACTOR = 4.0
"""The largest sample of loud speech over its root mean square."""
RELEASE_DB = 10 * FRAME_S
"""How loudness is forgotten from frame to frame: by 10 dB in a second. Of quiet speech (peaks of 0.007) that comes a
second after loud speech this misses 1 % of the frames, 3 dB/s 24 %, no gain at all 80 %. With 20 dB/s hummed notes open
nearly twice as many turns. Where all is forgotten at once after 2 s, 42 clips in pink noise 20 dB below them have 7
turns more, opened by noise that is raised all of a sudden."""

PART_SAMPLES = 32
"""A frame's loudness is taken in parts of 2 ms, shorter than the time between two pulses of a voice."""
OUTLIER = 16.0
"""The energy of a part counts up to this much of the median part's: 12 dB."""
TRANSIENT_FRAMES = 5
"""What is over after so many frames sets no level for later ones. One bit of MP3 spoils up to 0.14 s."""
SUSTAIN_FRAMES = 16
"""What is louder in more than `TRANSIENT_FRAMES` of so many frames has lasted."""

FAINT_RATIO = 10 ** (-30 / 20)
"""What the gain leaves so far below the target may be speech that the detector does not hear."""
SILENCE_PEAK = 1e-4
"""Samples up to this, three steps of 16 bits, are dither."""


class LevelledFrames(NamedTuple):
    """Frames of audio with the gain of their time."""

    frames: Samples
    """(frames, samples), within -1 and 1."""
    faint: NDArray[np.bool_]
    """(frames,): whether a frame is so much quieter than what came before that the detector may not hear speech."""


class GainControl:
    """The level of one stream of 16 kHz audio. One thread at a time may use it.

    Args:
        ahead: how many frames to wait for what follows, one less than a power of two. A loud sound to come counts as
            one that was: noise before it is not raised, which would make the detector wake late.
    """

    def __init__(self, ahead: int = 0) -> None:
        self._ahead = ahead
        self._held = np.empty((0, FRAME_SAMPLES), np.float32)
        self._loudness = np.zeros(SUSTAIN_FRAMES - 1, np.float32)  # of the frames before those held, and of those
        self._released_db = -np.inf

    def apply(self, samples: Samples, *, last: bool = False) -> LevelledFrames:
        """Return those frames of audio whose time has come, each times the gain of its time.

        `samples` (samples,) are a number of whole frames that follow what came before; `last`: nothing will follow.
        """
        new = samples.reshape(-1, FRAME_SAMPLES)
        self._held = np.concatenate([self._held, new]) if len(self._held) else new
        self._loudness = np.concatenate([self._loudness, loudness_of(new)])
        count = len(self._held) - (0 if last else self._ahead)
        if count <= 0:
            return LevelledFrames(self._held[:0], np.zeros(0, np.bool_))
        level = np.maximum(CREST_FACTOR * self._levels(count), MIN_LEVEL)
        largest = CREST_FACTOR * self._loudness[SUSTAIN_FRAMES - 1 :][:count]
        levelled = self._held[:count] * (TARGET_PEAK / level)[:, None]
        np.clip(levelled, -1, 1, out=levelled)
        self._held, self._loudness = self._held[count:], self._loudness[count:]
        return LevelledFrames(levelled, (largest < FAINT_RATIO * level) & (largest > SILENCE_PEAK))

    def _levels(self, count: int) -> Loudness:
        """Return the loudness to go by at each of the first frames held."""
        windows = np.lib.stride_tricks.sliding_window_view(self._loudness, SUSTAIN_FRAMES)
        passing = windows[:count, -TRANSIENT_FRAMES:].max(axis=1)
        lasting = np.partition(windows, -TRANSIENT_FRAMES - 1, axis=1)[:, -TRANSIENT_FRAMES - 1]
        lasting_db = 20 * np.log10(np.maximum(lasting, 1e-20))
        remembered_db = self._remembered(lasting_db[:count])
        if self._ahead:
            remembered_db = np.maximum(remembered_db, self._expected(lasting_db)[:count])
        levels: Loudness = np.maximum(passing, np.power(10, remembered_db / 20, dtype=np.float32))
        return levels

    def _remembered(self, loudness_db: Loudness) -> Loudness:
        """Return at each frame the loudest that was so far, less what is forgotten of it."""
        forgotten_db = RELEASE_DB * np.arange(1, len(loudness_db) + 1, dtype=np.float32)
        loudest_db = np.maximum(np.maximum.accumulate(loudness_db + forgotten_db), self._released_db)
        remembered_db: Loudness = loudest_db - forgotten_db
        self._released_db = remembered_db[-1]
        return remembered_db

    def _expected(self, loudness_db: Loudness) -> Loudness:
        """Return at each frame the same of what is to come."""
        expected_db = loudness_db.copy()
        step = 1
        while step <= self._ahead:  # twice as far each time
            later_db = expected_db[step:] - np.float32(RELEASE_DB * step)
            np.maximum(expected_db[:-step], later_db, out=expected_db[:-step])
            step *= 2
        return expected_db


def loudness_of(frames: Samples) -> Loudness:
    """Return the root mean square of each frame (frames, samples), whose loudest parts count as far as others do."""
    parts = frames.reshape(len(frames), FRAME_SAMPLES // PART_SAMPLES, PART_SAMPLES)
    energies = np.einsum("fps,fps->fp", parts, parts)
    middle = energies.shape[1] // 2
    most = OUTLIER * np.partition(energies, middle, axis=1)[:, middle]
    limited: Loudness = np.minimum(energies, most[:, None]).sum(axis=1) / np.float32(FRAME_SAMPLES)
    loudness: Loudness = np.sqrt(limited)
    return loudness
