"""Automatic gain control: bring each frame to the loudness that the speech detector needs.

The detector misses speech whose peaks are below 0.003, and finds it at any level above. So the gain need not be exact.
But it must not follow artefacts, such as a damaged sample, nor remember a loud moment for long.

The loudness of a frame is that of most of it: a click within the frame does not count. The level is the larger of two
values: the loudest of the last few frames, forgotten at once, and the loudness that several of the last frames reached,
forgotten slowly. So a sound shorter than 0.16 s (a click, a clap, a damaged frame of MP3) disturbs the detector only
while it lasts.

The result does not depend on how the audio is cut into calls. Many live streams can go through one call: the cost of
numpy's calls, which is most of it for the few frames of a tenth of a second, is then shared.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES

Loudness = NDArray[np.float32]

FRAME_S = FRAME_SAMPLES / SAMPLE_RATE

TARGET_PEAK = 0.5
"""The peaks of speech are brought to this level. No noise that was tried (white, pink, brown, hum, clicks, tones) is
taken for speech because it is loud."""
MIN_LEVEL = 1e-3
"""Audio with lower peaks is not raised any further: 16-bit audio has only 5 bits left there."""
CREST_FACTOR = 4.0
"""The ratio of the peak of loud speech to its root mean square."""
RELEASE_DB = 10 * FRAME_S
"""The decay of the remembered loudness per frame, 10 dB per second. Quiet speech (peaks of 0.007) one second after loud
speech: 1 % of its frames are missed at 10 dB/s, 24 % at 3 dB/s, 80 % with no gain. At 20 dB/s, hummed notes open nearly
twice as many turns. If everything is forgotten at once after 2 s, 42 clips in pink noise 20 dB below them have 7 turns
more, opened by noise that is suddenly raised."""

PART_SAMPLES = 32
"""The loudness of a frame is measured in parts of 2 ms, shorter than the time between two pulses of a voice."""
MAX_PART_ENERGY = 16.0
"""The energy of a part counts up to this multiple of the median part's: 12 dB."""
TRANSIENT_FRAMES = 5
"""A sound that lasts at most this many frames does not set the level of later ones. One wrong bit of MP3 spoils up to
0.14 s."""
SUSTAIN_FRAMES = 16
"""A loudness is sustained if more than `TRANSIENT_FRAMES` of this many frames reach it."""

FAINT_RATIO = 10 ** (-30 / 20)
"""A frame whose peak stays below the level by this ratio may hold speech that the detector misses."""
SILENCE_PEAK = 1e-4
"""Samples up to this, three steps of 16 bits, are dither, not sound."""


class LevelledFrames(NamedTuple):
    """Frames of audio after gain control."""

    frames: NDArray[np.float32]
    """(frames, samples), between -1 and 1."""
    faint: NDArray[np.bool_]
    """(frames,): whether a frame is so much quieter than its surroundings that the detector may miss speech in it."""


class GainControl:
    """Gain control of one stream of 16 kHz audio. One thread at a time may use it.

    Args:
        lookahead: the number of later frames to wait for, one less than a power of two. A loud sound that follows
            counts like one that came before: noise before it is not raised, so the detector does not get used to it.
    """

    def __init__(self, lookahead: int = 0) -> None:
        self._lookahead = lookahead
        self._held = np.empty((0, FRAME_SAMPLES), np.float32)
        self._loudness = np.zeros(SUSTAIN_FRAMES - 1, np.float32)  # of earlier frames, then of the held ones
        self._last_decayed_db = np.full(1, -np.inf, np.float32)  # of the last frame before the held ones

    def apply(self, samples: Samples, *, last: bool = False) -> LevelledFrames:
        """Add samples, and return the frames whose gain is known, with that gain.

        Args:
            samples: the next whole frames of the stream (samples,).
            last: whether the stream ends with them, so that no lookahead is needed.
        """
        new = samples.reshape(-1, FRAME_SAMPLES)
        self._held = np.concatenate([self._held, new]) if len(self._held) else new
        self._loudness = np.concatenate([self._loudness, loudness_of(new)])
        count = len(self._held) - (0 if last else self._lookahead)
        if count <= 0:
            return LevelledFrames(self._held[:0], np.zeros(0, np.bool_))
        windows = _windows(self._loudness)
        sustained_db = _sustained_db(windows)
        decayed_db = _decayed_db(sustained_db[:count], self._last_decayed_db)
        self._last_decayed_db = decayed_db[-1:]
        if self._lookahead:
            decayed_db = np.maximum(decayed_db, self._upcoming(sustained_db)[:count])
        level = _level(_transient(windows)[:count], decayed_db)
        peaks = CREST_FACTOR * self._loudness[SUSTAIN_FRAMES - 1 :][:count]
        levelled = _levelled(self._held[:count], level)
        self._held, self._loudness = self._held[count:].copy(), self._loudness[count:].copy()  # not all audio so far
        return LevelledFrames(levelled, (peaks < FAINT_RATIO * level) & (peaks > SILENCE_PEAK))

    @staticmethod
    def apply_together(controls: "Sequence[GainControl]", parts: Sequence[Samples]) -> list[Samples]:
        """Return for each of several streams its next frames with their gain (samples,), exactly as `apply` does.

        If this raises, no stream has changed.

        Args:
            controls: the gain control of each stream, without lookahead.
            parts: for each stream, its next whole frames (samples,), at least one.
        """
        counts = np.array([len(part) // FRAME_SAMPLES for part in parts])
        is_frame = np.arange(counts.max()) < counts[:, None]
        frames = np.concatenate(parts).reshape(-1, FRAME_SAMPLES)
        loudness = np.zeros((len(parts), SUSTAIN_FRAMES - 1 + counts.max()), np.float32)  # zeros after a stream's last
        loudness[:, : SUSTAIN_FRAMES - 1] = [control._loudness for control in controls]
        loudness[:, SUSTAIN_FRAMES - 1 :][is_frame] = loudness_of(frames)
        last_db = np.stack([control._last_decayed_db for control in controls])
        windows = _windows(loudness)
        decayed_db = _decayed_db(_sustained_db(windows), last_db)
        level = _level(_transient(windows)[is_frame], decayed_db[is_frame])
        levelled = _levelled(frames, level)
        found: list[Samples] = []
        states: list[tuple[Loudness, Loudness]] = []
        start = 0
        for count, heard, decayed in zip(counts.tolist(), loudness, decayed_db, strict=True):
            states.append((heard[count : count + SUSTAIN_FRAMES - 1].copy(), decayed[count - 1 : count].copy()))
            found.append(levelled[start : start + count].ravel())
            start += count
        for control, state in zip(controls, states, strict=True):
            control._loudness, control._last_decayed_db = state
        return found

    def _upcoming(self, loudness_db: Loudness) -> Loudness:
        """Return for each frame the loudest of the frames from it to the end of the lookahead, each after its decay."""
        upcoming_db = loudness_db.copy()
        step = 1
        while step <= self._lookahead:  # each round looks twice as far
            later_db = upcoming_db[step:] - np.float32(RELEASE_DB * step)
            np.maximum(upcoming_db[:-step], later_db, out=upcoming_db[:-step])
            step *= 2
        return upcoming_db


def _windows(loudness: Loudness) -> Loudness:
    """Return for each frame its loudness and that of the frames before it: (..., frames, `SUSTAIN_FRAMES`).

    Those of the first frame come first: (..., `SUSTAIN_FRAMES` - 1 + frames).
    """
    return np.lib.stride_tricks.sliding_window_view(loudness, SUSTAIN_FRAMES, axis=-1)


def _transient(windows: Loudness) -> Loudness:
    """Return the loudness of each frame that is forgotten at once (..., frames), given its window."""
    transient: Loudness = windows[..., -TRANSIENT_FRAMES:].max(axis=-1)
    return transient


def _sustained_db(windows: Loudness) -> Loudness:
    """Return the loudness of each frame that is forgotten slowly (..., frames), in dB, given its window."""
    sustained = np.partition(windows, -TRANSIENT_FRAMES - 1, axis=-1)[..., -TRANSIENT_FRAMES - 1]
    sustained_db: Loudness = 20 * np.log10(np.maximum(sustained, np.float32(1e-20)))
    return sustained_db


def _decayed_db(loudness_db: Loudness, last_db: Loudness) -> Loudness:
    """Return for each frame the loudest of the frames up to it, each after its decay: (..., frames).

    Args:
        loudness_db: the loudness of each frame (..., frames).
        last_db: the result of the frame before them (..., 1).
    """
    decay_db = np.float32(RELEASE_DB) * np.arange(1, loudness_db.shape[-1] + 1, dtype=np.float32)
    decayed_db: Loudness = np.maximum(np.maximum.accumulate(loudness_db + decay_db, axis=-1), last_db) - decay_db
    return decayed_db


def _level(transient: Loudness, decayed_db: Loudness) -> Loudness:
    """Return the level that sets the gain of each frame."""
    loudness = np.maximum(transient, np.power(10, decayed_db / 20, dtype=np.float32))
    return np.maximum(CREST_FACTOR * loudness, MIN_LEVEL).astype(np.float32, copy=False)


def _levelled(frames: NDArray[np.float32], level: Loudness) -> NDArray[np.float32]:
    """Return frames (frames, samples) with the gain that their level (frames,) sets."""
    levelled: NDArray[np.float32] = frames * (TARGET_PEAK / level)[:, None]
    return np.clip(levelled, -1, 1, out=levelled)


def loudness_of(frames: NDArray[np.float32]) -> Loudness:
    """Return the root mean square (frames,) of frames (frames, samples), with the outliers of each frame limited."""
    parts = frames.reshape(len(frames), FRAME_SAMPLES // PART_SAMPLES, PART_SAMPLES)
    energies = np.einsum("fps,fps->fp", parts, parts)
    middle = energies.shape[1] // 2
    max_energy = MAX_PART_ENERGY * np.partition(energies, middle, axis=1)[:, middle]
    limited: Loudness = np.minimum(energies, max_energy[:, None]).sum(axis=1) / np.float32(FRAME_SAMPLES)
    loudness: Loudness = np.sqrt(limited)
    return loudness
