"""The probes of a service whose model is not loaded; test_runtime.py has one that is."""

import pytest
from in_process import client_of, new_app


async def test_the_process_is_healthy_and_not_ready_before_the_model_is_loaded(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        health, readiness = await client.get("/healthz"), await client.get("/readyz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (readiness.status_code, readiness.json()) == (503, {"ready": False})


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 503)])
async def test_head_has_the_same_status_and_no_body(tmp_path, path, status):
    async with client_of(new_app(tmp_path)) as client:
        answer = await client.head(path)
    assert (answer.status_code, answer.content) == (status, b"")
