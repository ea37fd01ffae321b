"""Voices that are alike become one cluster, anchors stay apart, and thousands of voices are clustered in blocks."""

import numpy as np
import pytest

from src.diarization import clusters
from src.diarization.clusters import Voices, clustered, means_of

NONE = Voices(np.empty((0, 4), np.float32), np.empty(0))


def voices(*rows: tuple[float, ...]) -> Voices:
    means = np.array(rows, np.float32)
    return Voices(means / np.linalg.norm(means, axis=1, keepdims=True), np.ones(len(means)))


def labels_of(each: Voices, anchors: Voices = NONE, heard: bool = False, count: int | None = None, max_count: int = 8):
    is_heard = np.full(len(anchors), heard)
    return clustered(each, anchors, is_heard, likeness=0.7, count=count, max_count=max_count).tolist()


ONE, LIKE_ONE, TWO, THREE = (1, 0, 0, 0), (1, 0.2, 0, 0), (0, 0, 1, 0), (0, 0.6, 0, 1)


def test_voices_that_are_alike_are_one_cluster_and_clusters_are_numbered_as_they_first_speak():
    assert labels_of(voices(TWO, ONE, LIKE_ONE, TWO, THREE)) == [0, 1, 1, 0, 2]


def test_one_voice_is_one_cluster():
    assert labels_of(voices(ONE)) == [0]
    assert labels_of(voices(ONE, LIKE_ONE, ONE)) == [0, 0, 0]


def test_no_more_clusters_than_allowed_or_than_there_are():
    assert len(set(labels_of(voices(ONE, TWO, THREE, LIKE_ONE), max_count=2))) == 2
    assert len(set(labels_of(voices(ONE, TWO, THREE, LIKE_ONE), count=1))) == 1
    assert len(set(labels_of(voices(ONE, TWO, THREE, LIKE_ONE), count=4))) == 4
    assert len(set(labels_of(voices(ONE, TWO), count=3))) == 2


def test_a_voice_joins_the_anchor_it_is_like_and_anchors_never_become_one():
    anchors = voices(ONE, LIKE_ONE)
    assert labels_of(voices((1, -0.1, 0, 0), (1, 0.3, 0, 0), TWO), anchors) == [0, 1, 2]


def test_an_anchor_counts_once_it_was_heard():
    anchors = voices(TWO)
    assert labels_of(voices(ONE, THREE), anchors, heard=False, max_count=2) == [1, 2]
    assert len({0, *labels_of(voices(ONE, THREE), anchors, heard=True, max_count=2)}) == 2


def test_the_mean_counts_each_voice_by_its_length():
    mean = means_of(Voices(np.array([[1, 0], [0, 1]], np.float32), np.array([3.0, 1.0])), np.array([1, 1]), 2)
    assert mean.weights.tolist() == [0, 4]
    assert mean.means[1].tolist() == pytest.approx([0.75, 0.25])


def test_merging_finds_what_average_linkage_over_all_pairs_finds():
    chance = np.random.default_rng(1)
    truth = chance.integers(0, 5, 30)
    made = Voices(np.abs(chance.normal(0, 0.35, (30, 16)) + 2 * np.eye(16)[truth]).astype(np.float32), np.ones(30))
    made = Voices(made.means / np.linalg.norm(made.means, axis=1, keepdims=True), made.weights)
    groups = [[index] for index in range(30)]
    alike = made.means @ made.means.T
    while len(groups) > 1:
        pairs = [(alike[np.ix_(a, b)].mean(), x, y) for x, a in enumerate(groups) for y, b in enumerate(groups[:x])]
        best, later, earlier = max(pairs)
        if best < 0.7:
            break
        groups[earlier] += groups.pop(later)
    labels = labels_of(Voices(made.means, made.weights), Voices(np.empty((0, 16), np.float32), np.empty(0)))
    assert {frozenset(group) for group in groups} == {
        frozenset(np.flatnonzero(np.array(labels) == label)) for label in set(labels)
    }


def test_thousands_of_voices_are_clustered_in_blocks_with_the_same_result(monkeypatch):
    chance = np.random.default_rng(2)
    truth = chance.integers(0, 3, 300)
    means = (chance.normal(0, 0.05, (300, 16)) + np.eye(16)[truth]).astype(np.float32)
    made = Voices(means / np.linalg.norm(means, axis=1, keepdims=True), np.ones(300))
    empty = Voices(np.empty((0, 16), np.float32), np.empty(0))
    at_once = labels_of(made, empty)
    monkeypatch.setattr(clusters, "MAX_ITEMS", 50)
    monkeypatch.setattr(clusters, "BLOCK_CLUSTERS", 10)
    in_blocks = labels_of(made, empty)
    assert in_blocks == at_once
    assert len(set(at_once)) == 3
