"""Each job ends once."""

import pytest
from fakes import clip, step

from src.engine.model import StepResult
from src.errors import TranscriptionFailed
from src.scheduling.awaited_jobs import AwaitedJobs
from src.scheduling.jobs import Clip, Job, Slot
from src.scheduling.outcome import Outcome
from src.text.transcript import Transcript

OUTCOME = Outcome(Transcript("text"), 0.1, 0.2, 0, 1)


def clip_job() -> Job:
    return Job(Clip(clip(1)), Slot(), 0.0)


def step_job() -> Job:
    return Job(step(1), Slot(), 0.0)


async def test_a_job_is_awaited_until_it_ends():
    jobs, a, b = AwaitedJobs(), clip_job(), step_job()
    text, result = jobs.add_clip(a), jobs.add_step(b)
    assert jobs.still([a, b]) == [a, b]
    assert (jobs.steps, jobs.step_count) == ([b], 1)
    jobs.finish_clip(a, OUTCOME)
    jobs.finish_step(b, StepResult((), None))
    assert await text is OUTCOME
    assert (await result).tokens == ()
    assert (jobs.still([a, b]), jobs.step_count) == ([], 0)


async def test_the_first_ending_counts():
    jobs, job = AwaitedJobs(), clip_job()
    future = jobs.add_clip(job)
    jobs.fail(job, TranscriptionFailed("no"))
    jobs.finish_clip(job, OUTCOME)
    with pytest.raises(TranscriptionFailed):
        await future
    assert not jobs.remove(job)


async def test_a_job_whose_caller_has_left_is_not_awaited_and_may_still_end():
    jobs, a, b = AwaitedJobs(), clip_job(), step_job()
    jobs.add_clip(a)
    jobs.add_step(b).cancel()
    assert jobs.remove(a)
    assert jobs.still([a, b]) == []
    jobs.finish_clip(a, OUTCOME)
    jobs.fail(b, TranscriptionFailed("no"))


async def test_once_the_model_has_failed_nothing_is_run_any_more_and_what_runs_may_end():
    jobs, job = AwaitedJobs(), clip_job()
    future = jobs.add_clip(job)
    jobs.close()
    assert jobs.still([job]) == []
    jobs.finish_clip(job, OUTCOME)
    assert await future is OUTCOME
