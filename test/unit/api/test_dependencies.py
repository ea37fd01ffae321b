"""The services of an application, as routes and as plain code get them."""

import dataclasses

import pytest
from fastapi import FastAPI
from in_process import client_of, new_app

from src.api.dependencies import ServicesDep, provide, services_of


async def test_routes_and_plain_code_get_the_same_services(tmp_path):
    services = services_of(new_app(tmp_path))
    app, seen = FastAPI(), []
    provide(app, services)

    @app.get("/")
    async def route(services: ServicesDep) -> None:
        seen.append(services)

    async with client_of(app) as client:
        assert (await client.get("/")).status_code == 200
    assert seen == [services_of(app)] == [services]


def test_services_are_frozen(tmp_path):
    services = services_of(new_app(tmp_path))
    with pytest.raises(dataclasses.FrozenInstanceError):
        services.scheduler = None


@pytest.mark.parametrize(("path", "accepted"), [("/v1/audio/transcriptions", False), ("/openai/v1/realtime", True)])
def test_on_azures_paths_every_name_is_that_of_the_served_model(tmp_path, path, accepted):
    served_model = services_of(new_app(tmp_path)).served_model_for({"type": "http", "path": path})
    assert served_model.stands_for("my-deployment") == accepted
