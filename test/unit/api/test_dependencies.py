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
