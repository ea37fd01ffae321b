"""The queue does what a plain list does, operation by operation; and its cost does not grow with its length."""

import math
import sys
from collections import deque
from itertools import count
from random import Random

import numpy as np
import pytest
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from src.engine.batch_limits import preferred_batch_size
from src.engine.model import StreamStep
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job, Kind, Priority
from src.scheduling.next_batch import SHORT_S, SIMILAR_LENGTH

SILENCE = np.zeros(40 * 16_000, np.float32)
MAX_BATCH, MAX_BATCH_AUDIO_S = 4, 45.0


class PlainList:
    """What the queue is to do, by a look at every job."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        """In the order of their arrival."""
        self.held_back: set[Job] = set()
        self.going_first: set[Job] = set()
        self.is_gathering = False

    @property
    def steps(self) -> list[Job]:
        return [job for job in self.jobs if isinstance(job.work, StreamStep)]

    def push(self, job: Job) -> None:
        """Add a job, in what priority the queue has given it."""
        steps = [each for each in self.steps if each.slot.client == job.slot.client and each not in self.held_back]
        is_beyond = job.slot.client is not None and len(steps) >= MAX_BATCH // 2
        if is_beyond and isinstance(job.work, StreamStep):
            self.held_back.add(job)
        self.jobs.append(job)
        self.is_gathering &= len(self.steps) < MAX_BATCH

    def remove(self, jobs: list[Job]) -> None:
        """Remove jobs, and give their places to others of the same clients."""
        self.jobs = [job for job in self.jobs if job not in jobs]
        self.held_back.intersection_update(self.jobs)
        self.going_first.intersection_update(self.jobs)
        for job in sorted(self.held_back, key=self.rank_of):
            steps = [each for each in self.steps if each.slot.client == job.slot.client and each not in self.held_back]
            if len(steps) < MAX_BATCH // 2:
                self.held_back.discard(job)

    def let_uploads_go_first(self, batch: list[Job], now: float) -> None:
        """After a batch of sessions' clips alone, put up to half a batch of uploads first that wait for long."""
        if not batch or any(job.kind is not Kind.REALTIME or isinstance(job.work, StreamStep) for job in batch):
            return
        hurried = sorted((job for job in self.jobs if job.deadline < math.inf), key=lambda job: job.deadline)
        for job in hurried[: MAX_BATCH // 2]:
            is_upload = isinstance(job.work, Clip) and job.kind is not Kind.REALTIME
            if is_upload and now >= (job.enqueued_at + job.deadline) / 2:
                self.going_first.add(job)

    def rank_of(self, job: Job) -> tuple[int, float, int]:
        """Its place in the order."""
        rank = job.enqueued_at - job.kind.value - job.priority.value - min(max(job.late_s, 0.0), 0.4)
        return (job in self.held_back) - (job in self.going_first), rank, self.jobs.index(job)

    def next_batch(self) -> tuple[list[Job], bool]:
        """Return the next batch, and whether it is full."""
        batch: list[Job] = []
        outgrown = False
        for job in sorted(self.jobs, key=self.rank_of):
            if self.is_gathering and isinstance(job.work, StreamStep):
                continue
            if len(batch) == MAX_BATCH:
                break
            lengths = [each.audio_s for each in [*batch, job]]
            if batch and type(job.work) is not type(batch[0].work):
                continue
            if batch and max(lengths) > SIMILAR_LENGTH * max(min(lengths), SHORT_S):
                continue
            if batch and max(lengths) * len(lengths) > MAX_BATCH_AUDIO_S:
                outgrown = True
                continue
            batch.append(job)
        return batch, outgrown or len(batch) == MAX_BATCH


LENGTHS_S = st.one_of(st.sampled_from([0.5, 1.0, 2.0, 4.0, 5.0, 10.0, 11.25, 15.0, 20.0, 22.5]), st.floats(0.1, 40))


class LikeAPlainList(RuleBasedStateMachine):
    """The queue does what a plain list does."""

    whole: tuple[int, ...] = ()

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.queue = JobQueue(
            slots=1000,
            max_batch=MAX_BATCH,
            max_batch_audio_s=MAX_BATCH_AUDIO_S,
            max_audio_s=math.inf,
            preferred_sizes=self.whole,
        )
        self.plain = PlainList()

    @rule(
        seconds=st.lists(LENGTHS_S, min_size=1, max_size=6),
        kind=st.sampled_from(Kind),
        priority=st.sampled_from(Priority),
        client=st.sampled_from([None, "a", "b"]),
        patience_s=st.sampled_from([0.5, 2.0, math.inf]),
        is_step=st.booleans(),
        late_s=st.sampled_from([0.0, 0.0, -1.0, 0.1, 0.3, 5.0]),
        later_s=st.sampled_from([0.0, 0.0, 0.3]),
    )
    def push(self, seconds, kind, priority, client, patience_s, is_step, late_s, later_s):
        for each_s in seconds:
            self.now += later_s
            samples = SILENCE[: round(each_s * 16_000)]
            work = StreamStep(samples, 0, 1, 0) if is_step else Clip(samples)
            high = [job for job in self.plain.jobs if job.priority is Priority.HIGH and job.slot.client == client]
            job = Job(work, self.queue.reserve(client), self.now, self.now + patience_s, kind, priority, late_s)
            self.queue.push(job)
            is_beyond = client is not None and len(high) >= MAX_BATCH // 2
            assert job.priority is (Priority.NORMAL if priority is Priority.HIGH and is_beyond else priority)
            self.plain.push(job)

    @rule(which=st.integers(0, 1000))
    def drop(self, which):
        if self.plain.jobs:
            job = self.plain.jobs[which % len(self.plain.jobs)]
            self.plain.remove([job])
            assert self.queue.drop(job)
            assert not self.queue.drop(job)

    @rule(later_s=st.sampled_from([0.0, 0.1, 1.0]))
    def pop(self, later_s):
        self.now += later_s
        popped = self.queue.pop_batch(self.now)
        expired = [job for job in self.plain.jobs if job.deadline <= self.now]
        assert sorted(popped.expired, key=id) == sorted(expired, key=id)
        self.plain.remove(expired)
        batch, _ = self.plain.next_batch()
        batch = batch[: preferred_batch_size(len(batch), self.whole)]
        assert popped.batch == batch
        self.plain.remove(batch)
        self.plain.let_uploads_go_first(batch, self.now)

    @rule()
    def look(self):
        """Have the next batch put together, so that what follows finds it so."""
        batch, is_full = self.plain.next_batch()
        assert self.queue.has_full_batch == is_full
        assert self.queue.has_batch == bool(batch)
        assert self.queue.has_batch_of_steps == (bool(batch) and isinstance(batch[0].work, StreamStep))

    @rule(is_gathering=st.booleans())
    def gather(self, is_gathering):
        self.queue.gather_steps(is_gathering)
        self.plain.is_gathering = is_gathering and len(self.plain.steps) < MAX_BATCH

    @invariant()
    def knows_what_a_plain_list_knows(self):
        jobs = self.plain.jobs
        assert len(self.queue) == self.queue.held == len(jobs)
        assert self.queue.oldest_at == min((job.enqueued_at for job in jobs), default=math.inf)
        assert self.queue.next_deadline == min((job.deadline for job in jobs), default=math.inf)
        assert self.queue.audio_s == pytest.approx(sum(job.audio_s for job in jobs))


class InWholeBatches(LikeAPlainList):
    """The same where the model takes one, two or all clips without padding."""

    whole = (1, 2, 4)


TestLikeAPlainList = LikeAPlainList.TestCase
TestLikeAPlainList.settings = budget(max_examples=60, stateful_step_count=40, deadline=None)
TestInWholeBatches = InWholeBatches.TestCase
TestInWholeBatches.settings = budget(max_examples=30, stateful_step_count=40, deadline=None)


def calls_of(run) -> int:
    """Return how many calls a run makes, of functions in Python and in C."""
    calls = 0

    def counted(_, event: str, __) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


LOADS = {
    "alike": lambda choice, number: (10.0, Kind.UPLOAD, False),
    "of any length": lambda choice, number: (choice.uniform(0.5, 30.0), Kind.UPLOAD, False),
    "of any kind": lambda choice, number: (10.0, choice.choice(list(Kind)), choice.random() < 0.5),
    "one that is like no other": lambda choice, number: (1.0 if number % 8 == 0 else 25.0, Kind.UPLOAD, False),
    "twice as long and more": lambda choice, number: (20.5 if number % 8 else 10.0, Kind.UPLOAD, False),
}


def use(load: str, waiting: int, requests: int) -> int:
    """Return the calls that requests cost beside which so many wait: to join, to leave early, to leave in batches."""
    choice, numbers = Random(0), count()
    queue = JobQueue(slots=2 * waiting + 99, max_batch=8, max_batch_audio_s=1200, max_audio_s=math.inf)
    leaving: deque[Job] = deque()

    def push() -> Job:
        now = next(numbers)
        seconds, kind, is_step = LOADS[load](choice, now)
        samples = SILENCE[: round(seconds * 16_000)]
        work = StreamStep(samples, 0, 1, 0) if is_step else Clip(samples)
        job = Job(work, queue.reserve("key"), now / 1000, now / 1000 + 60, kind, choice.choice(list(Priority)))
        queue.push(job)
        return job

    def turn() -> None:
        for number in range(requests):
            leaving.append(push())
            assert queue.oldest_at < math.inf
            assert isinstance(queue.has_full_batch, bool)
            if number % 4 == 0:
                queue.drop(leaving.popleft())
            while len(queue) > waiting:
                queue.pop_batch(0.0)

    for _ in range(waiting):
        leaving.append(push())
    turn()
    return calls_of(turn)


@pytest.mark.parametrize("load", LOADS)
def test_what_a_request_costs_does_not_grow_with_the_queue(load):
    few, many = (use(load, waiting, 400) for waiting in (10, 2000))
    assert many <= 1.2 * few
