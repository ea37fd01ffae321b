"""What starts and stops with the application."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fakes import HeldModel, clip
from running_service import serving, until

from src.api.dependencies import services_of
from src.app import create_app
from src.errors import ModelUnavailable
from src.metrics.load import Load, read_loads
from src.metrics.log import metrics_path
from src.settings import Settings

PCM = (clip(7) * 32767).astype("<i2").tobytes()


def test_all_parts_run_until_the_service_stops(tmp_path):
    with serving(Settings(model_id="tiny", log_dir=tmp_path), lambda _: HeldModel(held=False)) as service:
        assert service.post(PCM, "audio/pcm").json()["text"] == "7"
        service.services.realtime_pool.submit(int).result()
    assert not service.scheduler.ready
    with pytest.raises(RuntimeError, match="after shutdown"):
        service.services.realtime_pool.submit(int)
    assert (tmp_path / "metrics" / "metrics.log").read_text().count("\n") == 1
    assert list(read_loads(metrics_path(tmp_path))) == [], "it has ended"


@pytest.mark.parametrize("error", [ModelUnavailable("It is not there."), RuntimeError("unexpected")])
async def test_a_model_that_cannot_be_loaded_is_reported_with_its_reason(tmp_path, caplog, error):
    failed = asyncio.Event()

    def load(_: Settings):
        raise error

    app = create_app(Settings(model_id="tiny", log_dir=tmp_path, shutdown_grace_s=0), load=load, on_failure=failed.set)
    with caplog.at_level(logging.ERROR):
        async with app.router.lifespan_context(app):
            await failed.wait()
    assert str(error) in caplog.text
    assert not services_of(app).scheduler.ready


async def test_start_up_that_waits_for_the_model_ends_when_requests_are_admitted(tmp_path):
    loading, may_load = threading.Event(), threading.Event()

    def load(_: Settings) -> HeldModel:
        loading.set()
        may_load.wait()
        return HeldModel(held=False)

    app = create_app(Settings(model_id="tiny", log_dir=tmp_path), load=load, waits_for_model=True)
    lifespan = app.router.lifespan_context(app)
    starting = asyncio.create_task(lifespan.__aenter__())
    await asyncio.to_thread(loading.wait)
    assert not starting.done()
    may_load.set()
    await starting
    assert services_of(app).scheduler.ready
    await lifespan.__aexit__(None, None, None)


@pytest.mark.parametrize("error", [ModelUnavailable("It is not there."), RuntimeError("unexpected")])
async def test_start_up_that_waits_for_the_model_fails_with_the_reason(tmp_path, error):
    failed = asyncio.Event()

    def load(_: Settings):
        raise error

    settings = Settings(model_id="tiny", log_dir=tmp_path, shutdown_grace_s=0)
    app = create_app(settings, load=load, on_failure=failed.set, waits_for_model=True)
    with pytest.raises(type(error), match=str(error)):
        async with app.router.lifespan_context(app):
            pytest.fail("the service has started")
    assert failed.is_set()
    with pytest.raises(RuntimeError, match="after shutdown"):
        services_of(app).realtime_pool.submit(int)


async def test_start_up_that_waits_for_the_model_can_be_cancelled(tmp_path):
    loading, may_load = threading.Event(), threading.Event()

    def load(_: Settings) -> HeldModel:
        loading.set()
        may_load.wait()
        return HeldModel(held=False)

    settings = Settings(model_id="tiny", log_dir=tmp_path, shutdown_grace_s=0)
    app = create_app(settings, load=load, waits_for_model=True)
    starting = asyncio.create_task(app.router.lifespan_context(app).__aenter__())
    await asyncio.to_thread(loading.wait)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    may_load.set()
    assert not services_of(app).scheduler.ready


def test_the_load_of_a_service_is_told_while_it_works(tmp_path):
    model = HeldModel()
    settings = Settings(model_id="tiny", log_dir=tmp_path, replica_name="pod-1")
    with serving(settings, lambda _: model) as service:
        loop = service.server.servers[0].get_loop()

        async def load() -> Load:
            return service.services.load()

        def load_now() -> Load:
            return asyncio.run_coroutine_threadsafe(load(), loop).result()

        at_rest = Load(0, 0, uploads=0, sessions=0, max_sessions=256, batch_size=0, audio_s_per_s=0, ready=True)
        assert load_now() == at_rest
        with ThreadPoolExecutor(3) as senders:
            sent = [senders.submit(service.post, PCM, "audio/pcm") for _ in range(3)]
            until(lambda: service.scheduler.waiting + sum(map(len, model.batches)) == 3)
            running = sum(map(len, model.batches))
            assert load_now() == replace(at_rest, queued_audio_s=3 - running, running_audio_s=running, uploads=3)
            model.release_all()
            assert {each.result().status_code for each in sent} == {200}
        until(lambda: load_now().uploads == 0)
        assert load_now().batch_size == 3 / len(model.batches)
        assert load_now().audio_s_per_s > 0
        (told,) = read_loads(metrics_path(tmp_path))
        assert (told.replica, told.load.max_sessions) == ("pod-1", 256)
    assert '"replica":"pod-1"' in metrics_path(tmp_path).read_text()
