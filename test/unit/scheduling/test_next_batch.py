"""Which jobs share a batch (src.scheduling.next_batch)."""

import numpy as np

from src.scheduling.jobs import Clip, Job, Slot
from src.scheduling.next_batch import SHORT_S, SIMILAR_LENGTH, NextBatch


def entry(seconds: float, at: float = 0.0) -> tuple[float, int, Job]:
    job = Job(Clip(np.zeros(round(seconds * 16_000), np.float32)), Slot(), at)
    return job.rank, round(at), job


def batch(*entries: tuple[float, int, Job], max_clips: int = 4, max_s: float = 1e9) -> NextBatch:
    made = NextBatch(max_clips, max_s * 16_000)
    for each in entries:
        assert made.accepts(each[2])
        made.add(each)
    return made


def test_it_takes_similar_lengths_until_it_is_full():
    made = batch(entry(10), max_clips=2)
    assert not made.accepts(entry(10 * SIMILAR_LENGTH + 1)[2])
    assert not made.accepts(entry(10 / SIMILAR_LENGTH - 1)[2])
    made.add(entry(10 * SIMILAR_LENGTH - 1, at=1))
    assert made.is_full
    assert not made.accepts(entry(10)[2])


def test_all_that_is_short_is_similar():
    assert batch(entry(0.1)).accepts(entry(SHORT_S * SIMILAR_LENGTH)[2])


def test_what_would_make_its_padded_size_too_large_is_noted_and_makes_it_full():
    made = batch(entry(10), entry(10, at=1), max_s=36)
    assert not made.is_full
    too_long = entry(13)[2]
    assert not made.accepts(too_long)
    assert made.outgrown_by is too_long
    assert made.is_full
    assert made.accepts(entry(12)[2])


def test_its_jobs_stay_in_order_however_they_come():
    first, second, third = (entry(10, at) for at in range(3))
    made = batch(third, first, second)
    assert [*made.entries.values()] == [first, second, third]
    assert (made.first, made.last) == (first, third)


def test_any_job_may_be_the_first():
    assert NextBatch(4, 16_000).accepts(entry(100)[2])
