"""Which speaker says a word: the one whose voice the windows around it have, with few changes within a sentence."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from src.diarization.clusters import Labels, Vectors
from src.diarization.voice_windows import FRAMES, VoiceWindows
from src.engine.voice_encoder import FRAMES_PER_S
from src.text.segments import ends_sentence
from src.text.words import Word

WINDOW_S = FRAMES / FRAMES_PER_S
REACH_S = 15.0
"""The longest time from the start of a phrase's window to its end, about."""
MIN_SHARE = 0.1
"""How much a window counts for a word at its edge, beside one in its middle."""
PAUSE_S = 0.1
"""Words closer to each other than this are rarely of two speakers."""
CHANGE_COST = 0.25
"""How much more alike the words after a change have to be, in all, if it is within a sentence and not at a pause."""
PAUSE_COST = 0.01
"""The same at a pause, or after a sentence. With more, turns of a single word are lost: of 36, 32 are found with this,
and 26 with 0.08."""


def speakers_of(words: Sequence[Word], windows: VoiceWindows, voices: Vectors) -> Labels:
    """Return the speaker of each word (words,), as the number of a voice.

    Args:
        words: the words, in order.
        windows: what was heard, at least one window.
        voices: what each speaker sounds like (speakers, 256), of length 1.
    """
    if not len(words):
        return np.empty(0, np.int64)
    windows = windows.part(np.argsort(windows.starts_s, kind="stable"))
    alike = windows.embeddings @ voices.T
    return best_speakers(words, np.stack([_alike(word, windows, alike) for word in words]))


def best_speakers(words: Sequence[Word], alike: NDArray[np.float32]) -> Labels:
    """Return the speaker of each of one or more words (words,), with few changes within a sentence.

    Args:
        words: the words, in order.
        alike: how much each word sounds like each speaker (words, speakers), 0 to 1.
    """
    return _best_path(alike, [0.0, *(_change_cost(word, following) for word, following in pairwise(words))])


def _alike(word: Word, windows: VoiceWindows, alike: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much a word sounds like each speaker (speakers,): the mean over the windows that overlap it.

    Args:
        word: the word.
        windows: what was heard, in order of the windows' starts.
        alike: how much each window sounds like each speaker (windows, speakers).
    """
    near = slice(*np.searchsorted(windows.starts_s, [word.start_s - REACH_S, word.end_s]))
    starts_s, ends_s = windows.starts_s[near], windows.ends_s[near]
    overlap = np.minimum(ends_s, word.end_s) - np.maximum(starts_s, word.start_s)
    if overlap.max(initial=0.0) <= 0:
        away_s = np.maximum(windows.starts_s - word.end_s, word.start_s - windows.ends_s)
        nearest: NDArray[np.float32] = alike[away_s.argmin()]
        return nearest
    away_s = np.abs((starts_s + ends_s) / 2 - (word.start_s + word.end_s) / 2)
    central = np.maximum(MIN_SHARE, 1 - away_s / (WINDOW_S / 2))
    shares = np.maximum(overlap, 0) * central * np.minimum(windows.speech_s[near], 1)
    mean: NDArray[np.float32] = (shares / shares.sum()).astype(np.float32) @ alike[near]
    return mean


def _change_cost(word: Word, following: Word) -> float:
    is_likely = following.start_s - word.end_s >= PAUSE_S or ends_sentence(word.written)
    return PAUSE_COST if is_likely else CHANGE_COST


def _best_path(alike: NDArray[np.float32], costs: Sequence[float]) -> Labels:
    """Return the speakers (words,) with the greatest sum of likenesses less the costs of changes (Viterbi).

    Args:
        alike: how alike each word is to each speaker (words, speakers).
        costs: what a change before each word costs.
    """
    total = alike[0].astype(np.float64)
    came_from = np.zeros(alike.shape, np.int64)
    for number in range(1, len(alike)):
        best = int(total.argmax())
        changes = total < total[best] - costs[number]
        came_from[number] = np.where(changes, best, np.arange(len(total)))
        total = np.where(changes, total[best] - costs[number], total) + alike[number]
    path = np.empty(len(alike), np.int64)
    path[-1] = int(total.argmax())
    for number in range(len(alike) - 1, 0, -1):
        path[number - 1] = came_from[number, path[number]]
    return path
