"""What starts and stops with the application."""

import asyncio
import logging

import pytest
from fakes import HeldModel, clip
from running_service import serving

from src.api.dependencies import services_of
from src.app import create_app
from src.errors import ModelUnavailable
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
