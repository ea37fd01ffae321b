"""Jobs: how long they are, and how urgent (src.scheduling.jobs)."""

import numpy as np
import pytest

from src.engine.model import StreamStep
from src.scheduling.jobs import HELD_BACK_S, MAX_LATE_S, Clip, Job, Kind, Priority, Slot

SECOND = np.zeros(16_000, np.float32)


def clip(at: float = 0.0, **how) -> Job:
    return Job(Clip(SECOND), Slot(), at, **how)


def step(at: float = 0.0, **how) -> Job:
    return Job(StreamStep(SECOND, 0, 1, 0), Slot(), at, kind=Kind.REALTIME, **how)


def test_a_job_knows_its_length_and_whether_it_is_a_step():
    assert (clip().length, clip().audio_s, clip().is_step) == (16_000, 1.0, False)
    assert (step().length, step().audio_s, step().is_step) == (16_000, 1.0, True)


def test_the_rank_is_the_time_of_arrival_less_the_head_start_of_kind_and_priority():
    assert clip(10, kind=Kind.CHUNK).rank == 10
    assert clip(10).rank == 10 - Kind.UPLOAD.value
    ranks = [clip(10, priority=each).rank for each in (Priority.HIGH, Priority.NORMAL, Priority.LOW)]
    assert ranks == sorted(ranks)
    assert step(10).rank < ranks[0], "no priority makes one kind of another"


@pytest.mark.parametrize(("late_s", "counts_s"), [(-1, 0), (0.1, 0.1), (0.4, 0.4), (60, MAX_LATE_S)])
def test_a_late_step_goes_before_others_within_limits(late_s, counts_s):
    assert step(10).rank - step(10, late_s=late_s).rank == pytest.approx(counts_s)


def test_a_step_that_is_held_back_comes_after_all_that_are_not():
    assert step(10, late_s=1, is_held_back=True).rank > clip(10 + HELD_BACK_S / 2, kind=Kind.CHUNK).rank
