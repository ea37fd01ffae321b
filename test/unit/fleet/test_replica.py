"""A replica without Ray: its start, its health, its load and its end, on a model that the test holds."""

import json
import logging

import httpx
import pytest
from fakes import HeldModel

from src.errors import ModelUnavailable
from src.fleet.replica import Replica
from src.fleet.replica_load import ReplicaLoad
from src.settings import Settings


@pytest.fixture(autouse=True)
def _no_handlers_left():
    before, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
        if isinstance(handler, logging.StreamHandler):
            handler.stream.close()
    logging.getLogger().setLevel(level)


def replica(tmp_path, load=lambda _: HeldModel(held=False)):
    return Replica(Settings(log_dir=tmp_path), load, 2, lambda: "abc")


def client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def end(app):
    """End the application as a server does, by the lifespan that its start has left."""
    async with app.router.lifespan_context(app):
        pass


async def test_its_application_is_ready_once_it_is_built_and_ends_with_the_server(tmp_path):
    built = replica(tmp_path)
    app = await built.__serve_build_asgi_app__()
    async with client(app) as http:
        assert (await http.get("/readyz")).json() == {"ready": True}
        await built.check_health()
        await end(app)
        assert (await http.get("/readyz")).json() == {"ready": False}


async def test_a_model_that_cannot_be_loaded_fails_the_start_with_its_reason(tmp_path):
    def load(_):
        raise ModelUnavailable("There is no file /models/a.nemo.")

    with pytest.raises(ModelUnavailable, match="There is no file"):
        await replica(tmp_path, load).__serve_build_asgi_app__()


async def test_a_replica_that_takes_no_requests_is_unhealthy(tmp_path):
    built = replica(tmp_path)
    await built.check_health()  # Ray asks when the application is there, but may ask sooner
    app = await built.__serve_build_asgi_app__()
    await end(app)
    with pytest.raises(Exception, match="shutting down"):
        await built.check_health()


async def test_its_load_is_reported_in_plain_numbers_that_the_router_reads(tmp_path):
    built = replica(tmp_path)
    assert await built.record_routing_stats() == {}
    app = await built.__serve_build_asgi_app__()
    report = await built.record_routing_stats()
    assert report == await built.record_autoscaling_stats()
    assert json.loads(json.dumps(report)) == report
    assert ReplicaLoad.from_report(report) == ReplicaLoad(max_sessions=256)
    await end(app)


async def test_its_log_names_it(tmp_path):
    app = await replica(tmp_path).__serve_build_asgi_app__()
    await end(app)
    lines = (tmp_path / "server.log").read_text().splitlines()
    assert any("INFO    abc Batches:" in line for line in lines)


@pytest.mark.parametrize(("haproxy", "answers"), [("1", False), ("0", False)])
async def test_request_ids_are_left_to_ray(tmp_path, monkeypatch, haproxy, answers):
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", haproxy)
    built = replica(tmp_path)
    app = await built.__serve_build_asgi_app__()
    async with client(app) as http:
        assert ("x-request-id" in (await http.get("/v1/models")).headers) is answers
    await end(built._app)
