"""The description of the API holds what the service does."""

import pytest
from in_process import client_of, new_app

from src.api.fields import Fields
from src.api.openapi import TRANSCRIPTION_REQUEST
from src.api.options import parse_options
from src.wire.model_names import ServedModel

CONTENT = TRANSCRIPTION_REQUEST["requestBody"]["content"]
FORM = CONTENT["multipart/form-data"]["schema"]["properties"]
VALUES = [
    (name, value)
    for name, schema in FORM.items()
    for value in schema.get("enum", schema.get("items", {}).get("enum", [])) or [schema.get("example")]
    if value is not None
]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_every_documented_value_is_accepted(name, value):
    parse_options(Fields([(name, value)]), ServedModel("tiny", "auto"), ("en",))


def test_json_and_the_query_have_the_fields_of_a_form():
    fields = {name.removesuffix("[]") for name in FORM if name != "file"}
    assert set(CONTENT["application/json"]["schema"]["properties"]) == fields | {"input_audio"}
    query = {each["name"].removesuffix("[]") for each in TRANSCRIPTION_REQUEST["parameters"]}
    assert query == fields | {"rate", "channels"}


async def test_the_document_has_openais_routes_and_no_aliases(tmp_path):
    async with client_of(new_app(tmp_path)) as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/audio/transcriptions",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/realtime/client_secrets",
        "/v1/realtime/transcription_sessions",
        "/healthz",
        "/readyz",
    }
    answers = document["paths"]["/v1/audio/transcriptions"]["post"]["responses"]
    assert set(answers) == {"200", *map(str, (400, 401, 403, 404, 408, 413, 415, 429, 500, 503))}
    assert set(answers["200"]["content"]) == {"application/json", "text/plain", "text/vtt", "text/event-stream"}
