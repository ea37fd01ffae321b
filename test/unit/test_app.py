"""The application as it is put together: its routes, its middleware and its state."""

from in_process import client_of, new_app

from src import __version__
from src.api.dependencies import Services, services_of
from src.app import create_app
from src.memory.limits import memory_limit_bytes
from src.memory.plan import MemoryPlan
from src.settings import Settings


def test_the_state_of_the_application_is_its_services_and_nothing_else(tmp_path):
    app = new_app(tmp_path)
    assert list(app.state._state.values()) == [services_of(app)]
    assert isinstance(services_of(app), Services)


def test_the_settings_of_the_services_have_the_planned_audio(tmp_path):
    plan = MemoryPlan.of(Settings(), memory_limit_bytes())
    assert services_of(new_app(tmp_path)).settings.max_queued_audio_s == plan.queued_audio_s


async def test_the_description_has_the_version(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        assert (await client.get("/openapi.json")).json()["info"]["version"] == __version__


async def test_a_request_is_traced_before_its_key_is_checked(tmp_path):
    async with client_of(new_app(tmp_path, api_keys="sk-app-test")) as client:
        answer = await client.get("/v1/models")
        assert (answer.status_code, answer.headers["x-request-id"][:4]) == (401, "req_")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_page_reads_the_error_of_a_wrong_key_only_if_its_origin_is_set(tmp_path):
    origin = {"origin": "https://app.example.com"}
    for origins, allowed in (("https://app.example.com", origin["origin"]), ("", None)):
        async with client_of(new_app(tmp_path, api_keys="sk-app-test", cors_origins=origins)) as client:
            answer = await client.get("/v1/models", headers=origin)
        assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (401, allowed)


async def test_a_prefix_is_removed_before_anything_else_looks_at_the_path(tmp_path):
    async with client_of(new_app(tmp_path, root_path="/stt")) as client:
        assert (await client.get("/stt/v1/models/")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 200


async def test_a_server_around_it_may_name_the_answers(tmp_path):
    app = create_app(Settings(model_id="tiny", log_dir=tmp_path, api_keys="sk-app-test"), names_answers=False)
    async with client_of(app) as client:
        for path, status in (("/healthz", 200), ("/v1/models", 401), ("/v1/realtime", 401)):
            answer = await client.get(path)
            assert (answer.status_code, "x-request-id" in answer.headers) == (status, False)
