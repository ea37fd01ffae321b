"""The model in its threads."""

import threading

import pytest
from fakes import HeldModel, clip, step

from src.engine.model import Batch, Model
from src.errors import DeviceLost
from src.scheduling.jobs import Clip, Job, Slot
from src.scheduling.model_threads import ModelThreads
from src.text.transcript import Transcript


class Named(HeldModel):
    """A model that notes in which threads it works."""

    def __init__(self, *, held: bool = False) -> None:
        super().__init__(held=held)
        self.threads: list[str] = []
        self.compiled: set[tuple[str, ...]] = set()

    def has_compiled(self, keywords):
        return keywords in self.compiled

    def compile(self, keywords):
        self._note()
        self.compiled.add(keywords)

    def collate(self, clips, keywords=None) -> Batch:
        self._note()
        return super().collate(clips, keywords)

    def transcribe(self, batch) -> list[Transcript]:
        self._note()
        return super().transcribe(batch)

    def _note(self) -> None:
        self.threads.append(threading.current_thread().name.rpartition("_")[0])


async def loaded(model: Model, watchdog_s: float = 60.0) -> ModelThreads:
    threads = ModelThreads(lanes=1, watchdog_s=watchdog_s)
    assert await threads.load(lambda: model) is model
    return threads


def jobs_of(*numbers: int) -> list[Job]:
    return [Job(Clip(clip(number)), Slot(), 0.0) for number in numbers]


async def test_it_is_collated_and_run_and_its_keywords_compiled_in_threads_of_their_own():
    model = Named()
    threads, jobs = await loaded(model), jobs_of(1, 2)
    await threads.compile(("word",))
    results = await threads.run(await threads.collate(jobs), jobs)
    threads.stop()
    assert results == [Transcript("1"), Transcript("2")]
    assert model.threads == ["compile", "collate", "model"]


async def test_a_batch_that_is_not_collated_is_so_in_the_models_own_thread():
    model = Named()
    threads = await loaded(model)
    [result] = await threads.run(None, [Job(step(3), Slot(), 0.0)])
    threads.stop()
    assert result.decoder_state == ["3"]
    assert model.threads == ["model"]


async def test_keywords_are_compiled_once_and_none_before_the_model_is_loaded():
    model = Named()
    assert ModelThreads(1, 60.0).has_compiled(("word",))
    threads = await loaded(model)
    assert threads.has_compiled(())
    assert not threads.has_compiled(("word",))
    await threads.compile(("word",))
    await threads.compile(("word",))
    threads.stop()
    assert model.threads == ["compile"]


async def test_a_model_that_hangs_is_given_up():
    model = Named(held=True)
    threads = await loaded(model, watchdog_s=0.01)
    with pytest.raises(DeviceLost, match="PARAKEET_WATCHDOG_S"):
        await threads.run(None, jobs_of(1))
    model.release_all()
    threads.stop()


async def test_a_model_that_loses_a_result_fails():
    class Forgetful(Named):
        def transcribe(self, batch):
            return super().transcribe(batch)[1:]

    threads = await loaded(Forgetful())
    with pytest.raises(RuntimeError, match="0 results for 1 jobs"):
        await threads.run(None, jobs_of(1))
    threads.stop()
