"""Agglomerative clustering of voices: which windows are of one speaker, and how many speakers there are.

Clusters merge by the mean likeness of their windows (average linkage). For vectors that is the product of the two
clusters' means, so nothing grows with the square of the windows but the likenesses themselves. Many windows are
clustered in blocks first, each to a few clusters, and then those.

Anchors are speakers that are known already, such as those that a session has told apart so far. They take part, but two
of them never become one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

MAX_ITEMS = 1000
"""Windows that are clustered at once, with 4 MB of likenesses."""
BLOCK_LIKENESS = 0.8
BLOCK_CLUSTERS = 100
"""What a block is reduced to: clusters that are at least so alike, or at most so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """Voices, each the mean of what was heard of it."""

    means: Vectors
    """(voices, 256), of length 1 or less: the more a voice varies, the shorter is its mean."""
    weights: NDArray[np.float64]
    """How many seconds of speech each is the mean of (voices,)."""

    def __len__(self) -> int:
        """The number of voices."""
        return len(self.means)


def clustered(
    voices: Voices,
    anchors: Voices,
    is_heard: NDArray[np.bool_],
    *,
    likeness: float,
    count: int | None,
    max_count: int,
) -> Labels:
    """Return the cluster of each voice (voices,): the number of an anchor, or from `len(anchors)` on a new cluster.

    Args:
        voices: what to cluster, in order of time.
        anchors: voices that are kept apart.
        is_heard: the anchors that are clusters even without a voice (anchors,).
        likeness: the mean likeness at which clusters still merge.
        count: how many clusters there are then, if there are as many voices; None for as many as are unlike.
        max_count: the most clusters if `count` is None.
    """
    if len(voices) <= MAX_ITEMS:
        return _clustered(_Merging(voices, anchors, is_heard), likeness, count, max_count)
    reduced = np.empty(len(voices), np.int64)
    found = 0
    none = Voices(anchors.means[:0], anchors.weights[:0])
    for start in range(0, len(voices), MAX_ITEMS):
        block = Voices(voices.means[start : start + MAX_ITEMS], voices.weights[start : start + MAX_ITEMS])
        labels = _clustered(_Merging(block, none, is_heard[:0]), BLOCK_LIKENESS, None, BLOCK_CLUSTERS)
        reduced[start : start + MAX_ITEMS] = found + labels
        found += int(labels.max()) + 1
    blocks = means_of(voices, reduced, found)
    labels = clustered(blocks, anchors, is_heard, likeness=likeness, count=count, max_count=max_count)
    return labels[reduced]


def means_of(voices: Voices, labels: Labels, count: int) -> Voices:
    """Return the mean voice of each of `count` clusters. A cluster without voices has weight 0."""
    sums = np.zeros((count, voices.means.shape[1]), np.float32)
    np.add.at(sums, labels, voices.means * voices.weights[:, None].astype(np.float32))
    weights = np.bincount(labels, voices.weights, count).astype(np.float64)
    means = sums / np.maximum(weights, np.finfo(np.float32).tiny)[:, None]
    return Voices(means.astype(np.float32), weights)


def _clustered(merging: "_Merging", likeness: float, count: int | None, max_count: int) -> Labels:
    """Return the clusters of at most `MAX_ITEMS` voices; see `clustered`."""
    limit = count or max_count
    while True:
        one, other, alike = merging.most_alike()
        if alike == -np.inf:
            break
        if merging.count <= limit and (count is not None or alike < likeness):
            break
        merging.merge(one, other)
    return merging.labels()


class _Merging:
    """Clusters while they merge. Anchors come first, then voices; a cluster has the number of its first member.

    Attributes:
        count: the clusters that have a voice or are heard.
    """

    def __init__(self, voices: Voices, anchors: Voices, is_heard: NDArray[np.bool_]) -> None:
        self._anchors = len(anchors)
        self._means = np.concatenate([anchors.means, voices.means]).astype(np.float32)
        self._weights = np.concatenate([anchors.weights, voices.weights])
        self._clusters = np.arange(len(self._means))
        self._is_anchor = self._clusters < self._anchors
        self._counts = np.concatenate([is_heard, np.ones(len(voices), np.bool_)])
        self.count = int(self._counts.sum())
        self._alike = self._means @ self._means.T
        np.fill_diagonal(self._alike, -np.inf)
        self._alike[: self._anchors, : self._anchors] = -np.inf
        self._nearest = self._alike.argmax(axis=1)

    def most_alike(self) -> tuple[int, int, float]:
        """Return the two clusters that are most alike, and how much; minus infinity if none may merge."""
        alike = self._alike[np.arange(len(self._nearest)), self._nearest]
        one = int(alike.argmax())
        first, second = sorted((one, int(self._nearest[one])))
        return first, second, float(alike[one])

    def merge(self, first: int, second: int) -> None:
        """Let the second cluster become part of the first, which comes before it."""
        if self._counts[first] and self._counts[second]:
            self.count -= 1
        self._counts[first] |= self._counts[second]
        self._clusters[self._clusters == second] = first
        share = self._weights[second] / (self._weights[first] + self._weights[second])
        self._means[first] += np.float32(share) * (self._means[second] - self._means[first])
        self._weights[first] += self._weights[second]
        self._set_likenesses(second, np.full(len(self._means), -np.inf, np.float32))
        alike = self._means @ self._means[first]
        alike[self._clusters != np.arange(len(alike))] = -np.inf
        alike[first] = -np.inf
        if self._is_anchor[first]:
            alike[self._is_anchor] = -np.inf
        self._set_likenesses(first, alike)
        stale = np.flatnonzero((self._nearest == first) | (self._nearest == second))
        self._nearest[stale] = self._alike[stale].argmax(axis=1)
        better = alike > self._alike[np.arange(len(alike)), self._nearest]
        self._nearest[better] = first

    def _set_likenesses(self, cluster: int, alike: Vectors) -> None:
        self._alike[cluster, :] = self._alike[:, cluster] = alike
        self._nearest[cluster] = alike.argmax()

    def labels(self) -> Labels:
        """Return the cluster of each voice, new ones numbered in order of their first."""
        voices = self._clusters[self._anchors :]
        _, numbers = np.unique(voices[voices >= self._anchors], return_inverse=True)
        labels = voices.copy()
        labels[voices >= self._anchors] = self._anchors + numbers
        return labels
