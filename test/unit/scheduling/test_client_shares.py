"""How much of one client goes before others (src.scheduling.client_shares)."""

from itertools import count

import numpy as np

from src.engine.model import StreamStep
from src.scheduling.client_shares import ClientShares
from src.scheduling.jobs import Clip, Job, Kind, Priority, Slot

SECOND = np.zeros(16_000, np.float32)


class Shares:
    """The shares of clients, two jobs each, and the jobs that were added."""

    def __init__(self) -> None:
        self._shares = ClientShares(2)
        self._numbers = count()
        self._number_of: dict[Job, int] = {}

    def add(self, client: str | None, *, is_step: bool = False, priority: Priority = Priority.NORMAL) -> Job:
        work = StreamStep(SECOND, 0, 1, 0) if is_step else Clip(SECOND)
        number = next(self._numbers)
        job = Job(work, Slot(client), float(number), kind=Kind.REALTIME, priority=priority)
        self._number_of[job] = number
        self._shares.add(job, number)
        return job

    def remove(self, job: Job) -> Job | None:
        """Remove a job, and return the step that gets its place."""
        entry = self._shares.remove(job, self._number_of[job])
        if entry is None:
            return None
        entry[2].is_held_back = False
        return entry[2]


def test_a_client_has_high_priority_for_so_many_jobs_at_a_time():
    shares = Shares()
    jobs = [shares.add("one", priority=Priority.HIGH) for _ in range(3)]
    assert [job.priority for job in jobs] == [Priority.HIGH, Priority.HIGH, Priority.NORMAL]
    assert shares.add("two", priority=Priority.HIGH).priority is Priority.HIGH
    assert shares.remove(jobs[0]) is None
    assert shares.add("one", priority=Priority.HIGH).priority is Priority.HIGH


def test_steps_beyond_its_share_are_held_back_and_get_the_places_of_those_that_leave_in_order():
    shares = Shares()
    steps = [shares.add("one", is_step=True) for _ in range(4)]
    assert [step.is_held_back for step in steps] == [False, False, True, True]
    assert not shares.add("two", is_step=True).is_held_back
    assert shares.remove(steps[1]) is steps[2]
    assert shares.remove(steps[0]) is steps[3]
    assert shares.remove(steps[2]) is None
    assert not shares.add("one", is_step=True).is_held_back


def test_a_step_that_is_held_back_may_leave_first():
    shares = Shares()
    steps = [shares.add("one", is_step=True) for _ in range(3)]
    assert shares.remove(steps[2]) is None
    assert shares.remove(steps[0]) is None


def test_jobs_of_no_client_have_no_limit():
    shares = Shares()
    jobs = [shares.add(None, is_step=True, priority=Priority.HIGH) for _ in range(9)]
    assert not any(job.is_held_back for job in jobs)
    assert {job.priority for job in jobs} == {Priority.HIGH}
    assert all(shares.remove(job) is None for job in jobs)
