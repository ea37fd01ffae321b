"""The speakers that were told apart so far, and how they are learned from what is heard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.diarization.clusters import Labels, Vectors, Voices, clustered, means_of
from src.diarization.voice_windows import VoiceWindows
from src.engine.voice_encoder import HIDDEN

LIKENESS = 0.69
"""The mean likeness at which two clusters are one speaker."""
SURE_S = 1.0
"""Windows with less speech, beside longer ones, do not tell how many speakers there are; less speech is no new one."""
KNOWN_LIKENESS = 0.7
"""How alike a new speaker and a known one who has not spoken are if they are one, each as the mean of what was heard.
It is 0.74 or more for two clips of any bundled voice, and at most 0.75 for two voices that are unlike."""
MIN_SPEAKER_S = 2.5
"""With less speech than this in its windows, which overlap, a new speaker has to sound unlike all others."""
MIN_SHARE = 0.01
"""The same for a share of all speech, if none of it is `MIN_SPEAKER_S` at a stretch. Windows in which one voice follows
another sound like neither, and the longer a recording is, the more of them there are that sound like each other. They
lie among windows of those two voices; even a speaker who says but one sentence has some windows in a row."""
UNLIKE = 0.6
"""The likeness to the others of a speaker with so little speech, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Speakers:
    """Speakers, each the mean of what was heard of it."""

    voices: Voices
    is_heard: NDArray[np.bool_]
    """Whether each has spoken (speakers,); a known speaker may not have."""

    def __len__(self) -> int:
        """The number of speakers."""
        return len(self.voices)

    @property
    def directions(self) -> Vectors:
        """What each sounds like (speakers, 256), of length 1; zeros for one that has not spoken."""
        means = self.voices.means * self.is_heard[:, None]
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        directions: Vectors = means / np.maximum(lengths, np.finfo(np.float32).tiny)
        return directions


def known_speakers(voices: Sequence[Voices]) -> Speakers:
    """Return speakers whose voices are known, and who have not spoken yet; one of each."""
    means = np.concatenate([np.empty((0, HIDDEN), np.float32), *(each.means for each in voices)])
    weights = np.concatenate([np.empty(0), *(each.weights for each in voices)])
    return Speakers(Voices(means, weights), np.zeros(len(weights), np.bool_))


def learned(speakers: Speakers, windows: VoiceWindows, *, count: int | None, max_count: int) -> Speakers:
    """Return the speakers after some windows were heard: the same ones, and then those that are new.

    Args:
        speakers: the speakers so far.
        windows: what was heard, at least one window.
        count: how many speakers have spoken then, if there are as many windows; None for as many as sound unlike.
        max_count: the most speakers that have spoken then, if `count` is None.
    """
    windows = windows.part(np.argsort(windows.starts_s, kind="stable"))
    sure = windows.speech_s >= min(SURE_S, float(windows.speech_s.max()))
    heard = Voices(windows.embeddings[sure], windows.speech_s[sure])
    labels = clustered(heard, speakers.voices, speakers.is_heard, likeness=LIKENESS, count=count, max_count=max_count)
    labels = _with_known(heard, speakers, labels)
    if count is None:
        labels = _without_doubtful(heard, speakers, labels)
    return _with(speakers, heard, labels)


def _with_known(heard: Voices, speakers: Speakers, labels: Labels) -> Labels:
    """Return the labels after new speakers have become the known ones that they are, the most alike first.

    A recording of a known speaker is often made elsewhere, and less like the others than those are like each other.
    """
    after = _with(speakers, heard, labels)
    silent = np.flatnonzero(~after.is_heard)
    new = np.arange(len(speakers), len(after))
    if not len(silent) or not len(new):
        return labels
    known = speakers.voices.means[silent]
    alike = (known / np.linalg.norm(known, axis=1, keepdims=True)) @ after.directions[new].T
    labels = labels.copy()
    while alike.max() >= KNOWN_LIKENESS:
        one, other = np.unravel_index(alike.argmax(), alike.shape)
        labels[labels == new[other]] = silent[one]
        alike[one, :] = alike[:, other] = 0
    is_new = labels >= len(speakers)
    labels[is_new] = len(speakers) + np.unique(labels[is_new], return_inverse=True)[1]
    return labels


def _without_doubtful(heard: Voices, speakers: Speakers, labels: Labels) -> Labels:
    """Return the labels after each new speaker with little speech has become the one that it is most like."""
    while True:
        after = _with(speakers, heard, labels)
        enough_s = max(MIN_SPEAKER_S, MIN_SHARE * float(after.voices.weights[after.is_heard].sum()))
        has_little = (after.voices.weights < enough_s) & (_longest_s(heard, labels, len(after)) < MIN_SPEAKER_S)
        new = np.arange(len(speakers), len(after))
        new = new[has_little[new]]
        alike = after.directions[new] @ after.directions.T
        alike[np.arange(len(new)), new] = 0
        is_doubtful = (alike.max(axis=1, initial=0) >= UNLIKE) | (after.voices.weights[new] < SURE_S)
        if not is_doubtful.any() or after.is_heard.sum() < 2:
            return labels
        first = int(is_doubtful.argmax())
        labels = np.where(labels == new[first], alike[first].argmax(), labels)
        labels = labels - (labels > new[first])


def _longest_s(heard: Voices, labels: Labels, count: int) -> NDArray[np.float64]:
    """Return how much speech of each of `count` speakers there is at a stretch, at most (speakers,).

    `heard` are windows in order of time, and the labels (windows,) number their speakers.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    longest_s = np.zeros(count)
    np.maximum.at(longest_s, labels[starts], np.add.reduceat(heard.weights, starts))
    return longest_s


def _with(speakers: Speakers, heard: Voices, labels: Labels) -> Speakers:
    """Return the speakers after voices (voices,) were heard of those that the labels (voices,) number."""
    count = max(len(speakers), int(labels.max()) + 1)
    everything = Voices(
        np.concatenate([speakers.voices.means, heard.means]), np.concatenate([speakers.voices.weights, heard.weights])
    )
    voices = means_of(everything, np.concatenate([np.arange(len(speakers)), labels]), count)
    is_heard = np.bincount(labels, minlength=count) > 0
    is_heard[: len(speakers)] |= speakers.is_heard
    return Speakers(voices, is_heard)
