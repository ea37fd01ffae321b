"""What starts and stops with the application."""

import asyncio
import logging

import pytest
from fakes import HeldModel, clip
from in_process import client_of

from src.api.dependencies import services_of
from src.app import create_app
from src.errors import ModelUnavailable
from src.settings import Settings

PCM = (clip(7) * 32767).astype("<i2").tobytes()


def settings(log_dir) -> Settings:
    return Settings(model_id="tiny", log_dir=log_dir, shutdown_grace_s=0)


async def test_the_service_is_ready_when_the_model_is_loaded_and_not_once_it_stops(tmp_path):
    app = create_app(settings(tmp_path), load=lambda _: HeldModel(held=False))
    async with client_of(app) as client:
        async with app.router.lifespan_context(app):
            while not (await client.get("/readyz")).is_success:
                assert (await client.get("/healthz")).is_success
            answer = await client.post("/v1/audio/transcriptions", content=PCM, headers={"content-type": "audio/pcm"})
            assert answer.json()["text"] == "7"
        assert (await client.get("/readyz")).json() == {"ready": False}
        answer = await client.post("/v1/audio/transcriptions", content=PCM, headers={"content-type": "audio/pcm"})
        assert answer.json()["error"]["code"] == "shutting_down"


@pytest.mark.parametrize("error", [ModelUnavailable("It is not there."), RuntimeError("unexpected")])
async def test_a_model_that_cannot_be_loaded_is_reported_with_its_reason(tmp_path, caplog, error):
    failed = asyncio.Event()

    def load(_: Settings):
        raise error

    app = create_app(settings(tmp_path), load=load, on_failure=failed.set)
    with caplog.at_level(logging.ERROR):
        async with app.router.lifespan_context(app):
            await failed.wait()
    assert str(error) in caplog.text
    assert not services_of(app).scheduler.ready
