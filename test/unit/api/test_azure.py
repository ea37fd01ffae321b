"""Azure's paths: each of them answers as OpenAI's does."""

import pytest
from in_process import client_of, new_app
from openai_schema import Model

from src.api.azure import ROOTS, router

PREFIXES = [root.replace("{deployment:path}", "my%2Fmodel") for root in ROOTS]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_models_are_listed_and_found_under_each_prefix(tmp_path, prefix):
    async with client_of(new_app(tmp_path)) as client:
        assert (await client.get(f"{prefix}/models")).json() == (await client.get("/v1/models")).json()
        answer = await client.get(f"{prefix}/models/whisper-1", params={"api-version": "2026-01-01"})
    assert Model.model_validate_json(answer.content).id == "whisper-1"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_other_routes_answer_under_each_prefix(tmp_path, prefix):
    async with client_of(new_app(tmp_path)) as client:
        translation = await client.post(f"{prefix}/audio/translations")
        no_upgrade = await client.get(f"{prefix}/realtime", params={"model": "mine"})
        names = ("realtime/client_secrets", "realtime/transcription_sessions", "audio/transcriptions")
        others = [await client.post(f"{prefix}/{name}") for name in names]
    assert translation.json()["error"]["code"] == "unsupported_model"
    assert (no_upgrade.status_code, no_upgrade.json()["error"]["code"]) == (503, "model_not_ready")
    assert {answer.json()["error"]["code"] for answer in others} == {"model_not_ready"}


def test_the_aliases_are_not_documented():
    assert not any(getattr(route, "include_in_schema", False) for route in router.routes)
