"""Which upload is evicted: a head at once, a stalled one after seconds, a steady one never."""

from random import Random

import numpy as np
import pytest

from src.scheduling.upload_progress import NEW_UPLOAD_BYTES_PER_S, UploadProgress, UploadsInProgress, evictable


def test_a_head_is_evicted_at_once_the_oldest_first():
    heads = [UploadProgress(now) for now in (0.02, 0.01, 0.03)]
    assert evictable(heads, 0.03) is heads[1]
    assert evictable([UploadProgress(1.0)], 1.0) is not None
    assert evictable([], 1.0) is None


@pytest.mark.parametrize("trickle_bytes", [1, 100, 1000])
def test_a_trickle_is_evicted_before_a_steady_upload(trickle_bytes):
    trickling, steady = UploadProgress(0.0), UploadProgress(0.0)
    for tenth in range(1, 300):
        trickling.add(trickle_bytes, tenth / 10)
        steady.add(3200, tenth / 10)
        assert evictable([steady, trickling], tenth / 10) is trickling
        assert evictable([steady], tenth / 10) is None


def test_an_upload_that_has_stalled_is_evicted_however_much_has_come_before():
    stalled = UploadProgress(0.0)
    for tenth in range(100):
        stalled.add(10_000_000, tenth / 10)
    assert evictable([stalled], 10.0) is None
    assert evictable([stalled], 12.0) is stalled


def test_a_complete_upload_is_not_evicted():
    complete = UploadProgress(0.0)
    complete.is_complete = True
    assert evictable([complete], 100.0) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_slowest_of_many_uploads_is_that_of_a_look_at_all(seed):
    choice = Random(seed)
    uploads, known = UploadsInProgress(), []
    for now in np.cumsum([choice.choice([0.0, 0.01, 0.2]) for _ in range(600)]).tolist():
        if len(known) < 5 or choice.random() < 0.3:
            known.append(UploadProgress(now))
            uploads.add(known[-1])
        moved = choice.choice(known)
        if choice.random() < 0.1:
            moved.is_complete = True
        elif choice.random() < 0.1:
            known.remove(moved)
            uploads.discard(moved)
        else:
            moved.add(choice.choice([0, 100, 5_000, 50_000]), now)
        slowest, expected = uploads.evictable(now), evictable(known, now)
        assert (slowest is None) == (expected is None)
        if slowest and expected:
            assert slowest.rate(now) == pytest.approx(expected.rate(now))
            assert slowest.rate(now) <= NEW_UPLOAD_BYTES_PER_S
