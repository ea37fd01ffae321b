"""When a batch may leave the queue, in times that the test says."""

import math
from itertools import count

import pytest
from fakes import clip, step

from src.scheduling.batch_timing import BatchTiming
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job
from src.scheduling.pace import Pace

WINDOW_S = 0.01


class Waiting:
    """A queue for batches of two, and its timing."""

    def __init__(self) -> None:
        self.queue = JobQueue(slots=99, max_batch=2, max_batch_audio_s=60.0, max_audio_s=math.inf)
        self.timing = BatchTiming(self.queue, Pace(0.24, 1.92, max_batch=2), WINDOW_S)
        self._numbers = count()

    def add_clip(self, now: float = 0.0) -> None:
        self.queue.push(Job(Clip(clip(next(self._numbers))), self.queue.reserve(), now))
        self.timing.clip_queued(now)

    def add_step(self, now: float = 0.0) -> None:
        self.queue.push(Job(step(next(self._numbers)), self.queue.reserve(), now))

    def take(self, now: float = 0.0) -> list[Job]:
        jobs = self.queue.pop_batch(now).batch
        self.timing.batch_begins(jobs)
        return jobs


@pytest.fixture
def waiting():
    return Waiting()


def test_an_idle_model_takes_what_there_is_and_a_busy_one_a_full_batch(waiting):
    assert not waiting.timing.may_take
    waiting.add_clip()
    assert waiting.timing.may_take
    waiting.take()
    waiting.add_clip()
    assert not waiting.timing.may_take
    waiting.add_clip()
    assert waiting.timing.may_take
    assert waiting.timing.cannot_improve


def test_a_batch_of_steps_does_not_wait_for_more(waiting):
    waiting.add_step()
    assert waiting.timing.cannot_improve


def test_it_waits_for_requests_in_preparation_no_longer_than_the_window(waiting):
    waiting.add_clip(now=5.0)
    assert waiting.timing.nothing_is_prepared
    waiting.queue.reserve()
    assert not waiting.timing.nothing_is_prepared
    assert waiting.timing.preparing_until == 5.0 + WINDOW_S


def test_it_waits_for_callers_of_the_last_batch_if_they_used_to_come_back_quickly_and_others_wait(waiting):
    waiting.add_clip()
    jobs = waiting.take()
    waiting.add_clip(now=0.9)
    waiting.timing.batch_ended(jobs, 1.0, now=1.0)
    assert waiting.timing.callers_until == 1.0, "nobody has come back yet"
    assert not waiting.timing.callers_are_back
    waiting.add_clip(now=1.001)
    assert waiting.timing.callers_are_back
    jobs = waiting.take(now=1.001)
    waiting.add_clip(now=1.5)
    waiting.timing.batch_ended(jobs, 1.0, now=2.0)
    assert waiting.timing.callers_until == 2.0 + WINDOW_S


def test_it_counts_what_runs_and_what_has_run(waiting):
    waiting.add_clip()
    jobs = waiting.take()
    assert (waiting.timing.running, waiting.timing.running_audio_s) == (1, jobs[0].audio_s)
    waiting.timing.batch_ran(jobs, 0.5, now=1.0)
    waiting.timing.batch_ended(jobs, 0.6, now=1.0)
    assert (waiting.timing.running, waiting.timing.running_audio_s, waiting.timing.batches_run) == (0, 0.0, 1)
    assert waiting.timing.recent.audio_s_per_s == pytest.approx(jobs[0].audio_s / 0.5)


def test_steps_gather_after_a_batch_of_steps_where_they_come_often(waiting):
    gathered = []
    for number in range(200):
        now = number * 0.01
        waiting.add_step(now)
        jobs = waiting.take(now)
        waiting.timing.batch_ran(jobs, 0.005, now)
        gathered.append(waiting.timing.batch_ended(jobs, 0.005, now))
    assert gathered[0] == 0.0
    assert gathered[-1] > 0.0
    waiting.add_clip(2.0)
    assert waiting.timing.batch_ended(waiting.take(2.0), 0.005, 2.0) is None, "clips change nothing for steps"
