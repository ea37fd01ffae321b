"""The model and its threads: one that runs it, one for each lane that collates, and one that compiles keywords."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from src.engine.model import Batch, Model, StepBatch, StepResult, StreamStep
from src.errors import DeviceLost
from src.scheduling.jobs import Job
from src.text.transcript import Transcript

Results = Sequence[Transcript | StepResult]


class ModelThreads:
    """Runs the model for one event loop.

    Args:
        lanes: how many batches may be collated at a time.
        watchdog_s: seconds that the model may take for a batch.
    """

    def __init__(self, lanes: int, watchdog_s: float) -> None:
        self.lock = asyncio.Lock()
        """Held by the lane whose batch the model runs."""
        self.model: Model | None = None
        """The model, once it is loaded."""
        self._watchdog_s = watchdog_s
        self._runner = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._collators = ThreadPoolExecutor(lanes, thread_name_prefix="collate")
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")

    async def load(self, load: Callable[[], Model]) -> Model:
        """Load the model in the thread that will run it, and return it.

        Raises:
            ModelUnavailable: raised by `load`.
        """
        self.model = await asyncio.get_running_loop().run_in_executor(self._runner, load)
        return self.model

    def has_compiled(self, keywords: tuple[str, ...]) -> bool:
        """Return whether `compile` has nothing to do."""
        return not (keywords and self.model) or self.model.has_compiled(keywords)

    async def compile(self, keywords: tuple[str, ...]) -> None:
        """Compile new keywords before their clip joins the queue, where others in its batch would wait for that."""
        if self.model and not self.has_compiled(keywords):
            await asyncio.get_running_loop().run_in_executor(self._compiler, self.model.compile, keywords)

    async def collate(self, jobs: Sequence[Job]) -> Batch | StepBatch:
        """Return a batch of jobs, which are all clips or all steps, while the model may run another."""
        return await asyncio.get_running_loop().run_in_executor(self._collators, _collate, self._loaded, jobs)

    async def run(self, batch: Batch | StepBatch | None, jobs: Sequence[Job]) -> Results:
        """Return the result of each job of a batch, with `lock` held; None: collate it in the model's thread.

        Raises:
            DeviceLost: the device does not respond any more, or the model hangs. Its thread cannot be ended, so only a
                new process helps.
            Exception: the model fails on one of the jobs.
        """
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._runner, _infer, self._loaded, batch, jobs)
        done, _ = await asyncio.wait({running}, timeout=self._watchdog_s)
        if not done:
            raise DeviceLost(f"a batch has taken longer than {self._watchdog_s:g} s (PARAKEET_WATCHDOG_S)")
        return running.result()

    def stop(self) -> None:
        """End the threads, without waiting for what they do."""
        for threads in (self._runner, self._collators, self._compiler):
            threads.shutdown(wait=False, cancel_futures=True)

    @property
    def _loaded(self) -> Model:
        assert self.model is not None, "lanes start after the model is loaded"
        return self.model


def _collate(model: Model, jobs: Sequence[Job]) -> Batch | StepBatch:
    steps = [job.work for job in jobs if isinstance(job.work, StreamStep)]
    if steps:
        return model.collate_steps(steps)
    clips = [job.work for job in jobs]
    return model.collate([clip.samples for clip in clips], [clip.keywords for clip in clips])


def _infer(model: Model, batch: Batch | StepBatch | None, jobs: Sequence[Job]) -> Results:
    batch = batch or _collate(model, jobs)
    results = model.advance(batch) if isinstance(batch, StepBatch) else model.transcribe(batch)
    if len(results) != len(jobs):
        raise RuntimeError(f"{len(results)} results for {len(jobs)} jobs")
    return results
