"""The list of models, and each of them."""

import pytest
from in_process import client_of, new_app
from openai_schema import Model, ModelList

from src.wire.model_names import OPENAI_MODELS

NAME = "nvidia/parakeet-tdt-0.6b-v2"


async def test_the_list_has_the_models_own_name_first_and_openais(tmp_path):
    async with client_of(new_app(tmp_path, model_id=NAME)) as client:
        models = ModelList.model_validate_json((await client.get("/v1/models")).content).data
    assert [model.id for model in models] == [NAME, "parakeet-tdt-0.6b-v2", *OPENAI_MODELS]
    assert {(model.owned_by, model.created) for model in models} == {("nvidia", models[0].created)}


@pytest.mark.parametrize("path", ["nvidia/parakeet-tdt-0.6b-v2", "nvidia%2Fparakeet-tdt-0.6b-v2", "whisper-1"])
async def test_a_model_is_found_by_each_of_its_names(tmp_path, path):
    async with client_of(new_app(tmp_path, model_id=NAME)) as client:
        model = Model.model_validate_json((await client.get(f"/v1/models/{path}")).content)
    assert (model.id, model.owned_by) == (path.replace("%2F", "/"), "nvidia")


async def test_a_model_without_an_organisation_is_local(tmp_path):
    async with client_of(new_app(tmp_path, model_id="tiny")) as client:
        assert (await client.get("/v1/models/tiny")).json()["owned_by"] == "local"


async def test_another_model_is_not_found(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        answer = await client.get("/v1/models/gpt-4o")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "gpt-4o" in answer.json()["error"]["message"]
